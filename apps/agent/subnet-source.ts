import type { Prefix } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";

/** Where this node's subnets come from: claimed in the datastore, or assigned to its Kubernetes Node. */
export interface SubnetSource {
  /** For people: "podCIDRs of the Node". */
  readonly name: string;
  /** In force, IPv4 first, at most one a family: new pods get their addresses of them. */
  readonly subnets: readonly Prefix[];
  /** Of ranges that are retired: pods still have addresses of them, and no new pod gets one. */
  readonly draining: readonly Prefix[];
  readonly problems: readonly Problem[];
  /** What is missing before pods can have addresses; empty: nothing. */
  readonly waitingFor: readonly string[];
  /** Call again when the network changed. */
  setNetwork(network: ClusterNetwork): void;
  /** Gives back what the node had before and no pod uses any more. Called now and then. */
  releaseSurplus(): Promise<void>;
  stop(): void;
}
