import type { Address, Family } from "../src/base/address.ts";
import type { PodWish } from "./cluster.ts";
import type { Component } from "./kubernetes/control-machine.ts";
import type { NodeService } from "./kubernetes/kubelet.ts";
import type { KubernetesParams } from "./kubernetes/settings.ts";
import type { NamespaceHandles } from "./namespaces.ts";
import type { ClusterView } from "./picture.ts";
import type { PairResult } from "./probe/result.ts";

/** What the lab can be asked; see control.ts for the way. */
export type LabApi = {
  up: { params: UpParams; result: null };
  status: { params: null; result: LabStatus };
  check: { params: { readonly settle: number }; result: CheckResult };
  enter: { params: { readonly target: string }; result: NamespaceHandles };
  addPod: {
    /** Without a node: the one with the fewest pods. */
    params: { readonly node?: string } & PodWish;
    /** `pod`: as the other calls name it. */
    result: { readonly node: string; readonly pod: string; readonly addresses: readonly Address[] };
  };
  deletePod: { params: { readonly node: string; readonly pod: string }; result: null };
  addNode: {
    params: { readonly name?: string; readonly subnet?: number; readonly pods: number };
    result: { readonly name: string };
  };
  stopNode: { params: { readonly name: string }; result: null };
  startNode: { params: { readonly name: string }; result: null };
  deleteNode: { params: { readonly name: string }; result: null };
  agent: { params: { readonly node: string; readonly action: AgentAction }; result: null };
  component: { params: { readonly name: Component; readonly action: AgentAction }; result: null };
  nodeService: {
    params: { readonly node: string; readonly name: NodeService; readonly action: AgentAction };
    result: null;
  };
  link: { params: { readonly node: string; readonly up: boolean }; result: null };
};

export const agentActions = ["stop", "kill", "start", "restart"] as const;
export type AgentAction = (typeof agentActions)[number];

export interface UpParams {
  readonly nodes: number;
  readonly subnets: number;
  /** On each node. */
  readonly pods: number;
  /** Of the underlay, bytes. */
  readonly mtu: number;
  /** net-conf.json, as written. */
  readonly config: string;
  /** Where it came from, for messages. */
  readonly configName: string;
  readonly agentFlags: readonly string[];
  /** Nodes without agents and pods: the machines alone. */
  readonly bare: boolean;
  /** A real Kubernetes on these machines. */
  readonly kubernetes?: KubernetesParams;
}

export interface LabStatus {
  readonly families: readonly Family[];
  readonly view: ClusterView;
}

export interface CheckResult extends LabStatus {
  readonly results: readonly PairResult[];
}
