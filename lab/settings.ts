import { join } from "node:path";
import type { Family } from "../src/base/address.ts";
import { labVariable } from "./directory.ts";
import { type KubernetesParams, programFolder } from "./kubernetes/settings.ts";
import type { Programs } from "./programs.ts";

/** What all nodes of a lab have in common. */
export interface LabSettings {
  /** directory.ts says what lies in it. */
  readonly directory: string;
  readonly programs: Programs;
  readonly families: readonly Family[];
  /** Of the underlay, bytes. */
  readonly mtu: number;
  readonly agentFlags: readonly string[];
  /** Nodes without agents: machines on which nobody has installed a pod network. */
  readonly bare: boolean;
  /** Nodes with containerd and kubelet, and a control plane. */
  readonly kubernetes?: KubernetesParams;
}

/** Whether the lab itself starts agents: without them nobody has installed a pod network, or Kubernetes runs it. */
export const hasOwnAgents = ({ bare, kubernetes }: LabSettings): boolean => !bare && kubernetes === undefined;

export const datastoreUrl = (directory: string): string => `embedded:${join(directory, "store", "cluster.db")}`;

/** Of everything that runs in the lab: our programs are found by name, and leftovers by labVariable. */
export function labEnvironment(directory: string, programs: Programs): Record<string, string> {
  const { PATH = "", ...rest } = process.env;
  const path = [
    ...new Set([
      programs.folder,
      programFolder(directory),
      ...PATH.split(":"),
      "/usr/sbin",
      "/usr/bin",
      "/sbin",
      "/bin",
    ]),
  ];
  const kept = Object.entries(rest).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return {
    ...Object.fromEntries(kept),
    PATH: path.join(":"),
    [labVariable]: directory,
    // For `twill apply` and its like; a lab with Kubernetes has no such file, and kubectl.
    TWILL_DATASTORE: datastoreUrl(directory),
  };
}
