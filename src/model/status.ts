import type { Address } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Problem } from "./node-state.ts";

/** What an agent says of itself: the answer to `twill status`. Printed as text or, with -o json, as it stands. */
export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  /** Seconds. */
  readonly uptime: number;
  readonly ready: boolean;
  /** What keeps it from being ready. Empty when ready. */
  readonly waitingFor: readonly string[];
  readonly network: NetworkStatus | undefined;
  /** Absent: no change of the configuration is under way. */
  readonly change?: ChangeStatus;
  readonly underlay:
    | { readonly device: string; readonly mtu: number; readonly addresses: readonly Address[] }
    | undefined;
  readonly subnets: readonly Prefix[];
  /** Where they come from, in words: "spec.podCIDRs of Node node1". */
  readonly subnetSource: string;
  /** What Kubernetes' Node says of it; absent with other datastores. */
  readonly condition?: { readonly status: string; readonly reason: string; readonly message: string };
  readonly podMtu: number | undefined;
  readonly addresses: { readonly used: number; readonly quarantined: number; readonly free: number };
  readonly datastore: {
    readonly url: string;
    readonly reachable: boolean;
    readonly reason?: string;
    readonly since: number;
  };
  /** Absent: policy is off. */
  readonly policy?: PolicyStatus;
  readonly nodes: readonly NodeStatus[];
  readonly problems: readonly Problem[];
  readonly kernel: { readonly writes: Readonly<Record<string, number>>; readonly lastSync: number | undefined };
}

/** What this node enforces. */
export interface PolicyStatus {
  /** In the cluster. */
  readonly networkPolicies: number;
  readonly clusterNetworkPolicies: number;
  /** Of these: no version of them could be understood, so what they select is denied. */
  readonly broken: number;
  /** Addresses of this node's pods for which some policy decides. */
  readonly judged: { readonly ingress: number; readonly egress: number };
  /** Pods here of which the datastore does not know what they may do. */
  readonly unknownPods: readonly string[];
  readonly established: "keep" | "recheck";
  readonly denied: "drop" | "reject";
  readonly unknown: "closed" | "open";
}

/** A change of the cluster's configuration, as this node takes part in it. */
export interface ChangeStatus {
  readonly epoch: number;
  /** In words, as are the others: "host-gw, 10.244.0.0/16". */
  readonly to: string;
  /** By what the node still receives, beside. */
  readonly from: readonly string[];
  readonly sends: string;
  readonly stage: "offer" | "accept" | "send" | "done";
  readonly waitingFor: readonly { readonly node: string; readonly seconds: number }[];
  /** Nodes that are not waited for: their machines are not there. */
  readonly away: readonly string[];
  /** Why the configuration as written is not the target. */
  readonly refused: readonly string[];
}

export interface NetworkStatus {
  readonly ranges: readonly Prefix[];
  readonly backend: string;
  /** Where the configuration was read: a file, or the datastore. */
  readonly source: string;
  /** The newest text is invalid, and the last good one stays in force. */
  readonly rejected?: string;
}

/** A node as this agent sees it. */
export interface NodeStatus {
  readonly name: string;
  readonly self: boolean;
  readonly addresses: readonly Address[];
  readonly subnets: readonly Prefix[];
  readonly backend: string;
  /** Measured by this agent: never derived from the configuration. */
  readonly reachable: Reachability;
  /** What the other node's agent says it measured towards this one. */
  readonly reverse?: Reachability;
}

export interface Reachability {
  readonly state: "yes" | "no" | "unknown";
  /** Milliseconds, median of the last probes. */
  readonly roundTrip?: number;
  /** 0 to 1, of the last probes. */
  readonly loss?: number;
  /** Wall-clock milliseconds at which the state was entered. */
  readonly since?: number;
  /** Which way failed: the underlay (the node is away), only the overlay (the tunnel is broken), or there is no route to its pods. */
  readonly failing?: "underlay" | "overlay" | "route";
}

/** A pod's interface: a row of `twill get endpoints`. */
export interface EndpointStatus {
  readonly namespace: string;
  readonly pod: string;
  readonly network: string;
  readonly interface: string;
  readonly addresses: readonly Address[];
  readonly hostDevice: string;
  readonly container: string;
  readonly state: string;
  /** Wall-clock milliseconds. */
  readonly since: number;
}

/** A route of ours as the kernel holds it: a row of `twill get routes`. */
export interface RouteStatus {
  readonly destination: Prefix;
  readonly via: string;
  readonly device: string;
  readonly to: string;
  readonly state: "installed" | "missing" | "waiting" | "unexpected";
}
