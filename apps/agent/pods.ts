import type { Prefix } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { EndpointStatus } from "../../src/model/status.ts";

/** What pods of the cluster's own network get. */
export interface PodNetwork {
  readonly subnets: readonly Prefix[];
  readonly podMtu: number;
  readonly attachment: "routed" | "bridge";
}

/** The agent's pods: the CNI service with its book of addresses. */
export interface Pods {
  /** The socket is served. */
  readonly serving: boolean;
  readonly problems: readonly Problem[];
  setNetwork(network: PodNetwork): void;
  uses(subnet: Prefix): boolean;
  endpoints(): readonly EndpointStatus[];
  counts(): { readonly used: number; readonly quarantined: number; readonly free: number };
  stop(): void;
}
