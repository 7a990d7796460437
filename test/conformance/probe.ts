import type { Family } from "../../src/base/address.ts";
import type { PortProtocol } from "../oracle/objects.ts";

/** Three different things: a policy that drops is silent, one that rejects is not, and nobody listening is neither. */
export const answers = ["connected", "refused", "timed out"] as const;
export type Answer = (typeof answers)[number];

/** Parties by name: "x/a" a pod, "node1" a node by its own process, "outside" a machine that is no part of the cluster. */
export interface Probe {
  readonly from: string;
  readonly to: string;
  readonly protocol: PortProtocol;
  readonly port: number;
  readonly family: Family;
}

/** Every pod serves these by all three protocols. */
export const servedPorts = [80, 81] as const;
export const namespaceNames = ["x", "y", "z"] as const;
export const podNames = ["a", "b", "c"] as const;
export const allPods: readonly string[] = namespaceNames.flatMap((namespace) =>
  podNames.map((pod) => `${namespace}/${pod}`),
);

export const probeText = ({ from, to, protocol, port, family }: Probe): string =>
  `${from} -> ${to} ${protocol} ${port} over IPv${family}`;
