import type { Address } from "../base/address.ts";
import type { KernelView } from "./kernel-view.ts";

/** A pod's interface, and where to find it. */
export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Address[];
  /** The node's end; absent where the attachment has none (macvlan). */
  readonly hostDevice?: string;
  /** Inside the pod. */
  readonly ifname: string;
  /** Path of its network namespace. */
  readonly netns: string;
  readonly attachment: string;
}

export interface PodView extends PodPlace {
  /** undefined: the namespace could not be entered. */
  readonly kernel: KernelView | undefined;
}

/** One node, as its kernel has it. */
export interface NodeView {
  readonly node: string;
  readonly kernel: KernelView;
  readonly pods: readonly PodView[];
  /** Tables of iptables-legacy that are in use: their rules are not in nf_tables, and nobody can read them here. */
  readonly legacyTables: readonly string[];
  /** Name of the device towards the other nodes. */
  readonly underlay: string | undefined;
}

export const podId = ({ namespace, name }: Pick<PodPlace, "namespace" | "name">): string => `${namespace}/${name}`;
