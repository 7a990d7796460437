import type { Address } from "../base/address.ts";
import type { Labels } from "./policy.ts";
import type { DecisionReason } from "./policy-state.ts";

/**
 * What policy decided, as one node saw it: alike connections, or alike denied packets, of up to a minute. Each node tells of its own ends: a connection
 * between two nodes is a flow of both, with the egress decision on the source's and the ingress decision on the destination's.
 */
export interface Flow {
  /** Counts up on one node, across restarts: the order in which flows were told, and the place to go on reading from. */
  readonly sequence: number;
  /** Milliseconds since 1970, of the node's clock: the first and the last that is summed up here. */
  readonly since: number;
  readonly until: number;
  readonly verdict: "allow" | "deny";
  /** IANA number. */
  readonly protocol: number;
  readonly source: FlowEnd;
  /** After destination NAT: a Service's backend. */
  readonly destination: FlowEnd;
  /** The destination's. Absent: the protocol has none, or there are too many to be told apart (`ports`). */
  readonly port?: number;
  /** How many ports, where they were too many for a flow each: a scan. */
  readonly ports?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Where the client sent it to, when that is another address: a Service. */
  readonly service?: { readonly address: Address; readonly port?: number };
  /** Why, of the directions that this node decided. A denied flow has the one that denied it. */
  readonly egress?: FlowReason;
  readonly ingress?: FlowReason;
  /** What denied it when that was no decision of a policy. */
  readonly obstacle?: FlowObstacle;
  /** Connections that began; of a denied flow packets, at least: the kernel reports them at a bounded rate. */
  readonly count: number;
  /** Of connections that ended; whichever began them, an earlier flow may have told. */
  readonly ended?: FlowTotals;
}

export interface FlowTotals {
  readonly connections: number;
  /** Both directions. 0 without net.netfilter.nf_conntrack_acct. */
  readonly packets: number;
  readonly bytes: number;
  /** From the first to about the last packet, all connections together. */
  readonly seconds: number;
}

export type FlowEnd =
  | {
      readonly kind: "pod";
      readonly address: Address;
      readonly namespace: string;
      readonly name: string;
      /** As they were then: the pod may have gone. */
      readonly labels: Labels;
      readonly node?: string;
    }
  | { readonly kind: "node"; readonly address: Address; readonly name: string }
  /** No known pod and no node. */
  | { readonly kind: "address"; readonly address: Address }
  /** Too many to be told apart. */
  | { readonly kind: "many" };

export const flowObstacles = [
  /** A pod sent from an address that is not its own. */
  "spoofed",
  /** A pod whose address policy does not know yet. */
  "unknown-pod",
  /** No transport header to judge by. */
  "unreadable",
  /** Its connection would no longer be allowed to begin (established connections are rechecked). */
  "cut",
  /** Policy changed while it was being judged; its sender repeats it. */
  "changed",
  /** It belongs to no connection, so which decision denied it was not told. */
  "no-connection",
  /** The decision has gone, and the agent no longer knows what its number meant. */
  "forgotten",
] as const;
export type FlowObstacle = (typeof flowObstacles)[number];

/** "forgotten": the decision has gone, and the agent no longer knows what its number meant. */
export type FlowReason =
  /** `tier` of the policy that decided. */
  (DecisionReason & { readonly tier?: string }) | { readonly by: "forgotten"; readonly number: number };

/** What of the kept flows is asked for. Everything that is present must hold. */
export interface FlowFilter {
  /** Flows that lasted into this time or beyond it, milliseconds since 1970. */
  readonly since?: number;
  /** Flows that had begun by then. */
  readonly until?: number;
  readonly verdict?: Flow["verdict"];
  readonly from?: EndFilter;
  readonly to?: EndFilter;
  /** Either end. */
  readonly with?: EndFilter;
  /** Either end has an address in one of these networks (prefixes or addresses, as text). */
  readonly among?: readonly string[];
}

export type EndFilter =
  /** A name that ends in "*" stands for all that begin so. */
  | { readonly kind: "pod"; readonly namespace?: string; readonly name?: string }
  | { readonly kind: "node"; readonly name: string }
  /** A pod of any namespace or a node of that name. */
  | { readonly kind: "named"; readonly name: string }
  /** Prefix or address, as text. */
  | { readonly kind: "network"; readonly network: string }
  /** Whatever is neither a known pod nor a node. */
  | { readonly kind: "outside" };

export interface FlowsRequest {
  readonly filter: FlowFilter;
  /** Where to go on, as the page before said. Absent: from the beginning, or from `filter.since` on. */
  readonly place?: number;
  /** Flows of one page. */
  readonly limit: number;
}

/** A part of a node's flows, in the order of their sequence. */
export interface FlowPage {
  readonly flows: readonly Flow[];
  /** Where to go on: everything before has been looked at. Smaller than asked for: the history began anew. */
  readonly next: number;
  /** There is more now; else to ask again makes sense after a while. */
  readonly more: boolean;
  /** Flows between the place asked for and the first one here that are no longer kept. */
  readonly missed: number;
  /** Events that were never told, since the agent started: more came than are read, or than fit into a minute. */
  readonly lost: number;
}
