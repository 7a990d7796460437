import type { Namespace } from "./namespace.ts";

/** Two nodes on one underlay subnet with two pods each, whoever made them. */
export interface Cluster {
  /** "node1", "node1/pod-a"… */
  place(name: string): Namespace;
  /** Of a pod. */
  address(pod: string): string;
  close(): void;
}

/** How packets cross nodes. */
export interface Layout {
  readonly name: string;
  /** As net-conf.json has it. */
  readonly backend: object;
  /** VXLAN; else plain routes. */
  readonly tunnel: boolean;
  /** The pods', bytes. */
  readonly mtu: number;
}
