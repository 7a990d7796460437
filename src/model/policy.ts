import type { Address, Family } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";

/**
 * Policy as it is meant, whichever API it was written in: NetworkPolicy, ClusterNetworkPolicy and Calico's become the same
 * tiers of ordered policies of ordered rules (docs/design/policy.md).
 */
export interface PolicyModel {
  readonly namespaces: ReadonlyMap<string, Namespace>;
  /** By `EndpointName`. Pods on the host's network and completed pods are none. */
  readonly endpoints: ReadonlyMap<EndpointName, WorkloadEndpoint>;
  readonly nodes: ReadonlyMap<string, PolicyNode>;
  readonly tiers: ReadonlyMap<string, Tier>;
  /** By `policyName(id)`. */
  readonly policies: ReadonlyMap<string, Policy>;
}

export type Labels = Readonly<Record<string, string>>;

export interface Namespace {
  readonly name: string;
  /** With kubernetes.io/metadata.name, which the API server adds. */
  readonly labels: Labels;
}

/** "namespace/pod", and "namespace/pod/network" for a pod's further networks. */
export type EndpointName = string;

export interface WorkloadEndpoint {
  readonly namespace: string;
  readonly pod: string;
  /** Undefined: not scheduled yet. */
  readonly node?: string;
  readonly labels: Labels;
  readonly serviceAccount?: string;
  readonly addresses: readonly Address[];
  /** Named ports of its containers. One name may stand for several. */
  readonly ports: readonly NamedPort[];
  /**
   * What is known of it is only that it is there (its labels could not be read): it is denied in both directions,
   * unless the agent's setting says otherwise. An endpoint whose namespace is not in the model counts as unknown, too.
   */
  readonly unknown?: boolean;
}

export interface NamedPort {
  readonly name: string;
  /** IANA number. */
  readonly protocol: number;
  readonly port: number;
}

/** A machine of the cluster. Pods on its host network count as it. */
export interface PolicyNode {
  readonly name: string;
  readonly labels: Labels;
  /** All of them: underlay, further interfaces, tunnel devices. */
  readonly addresses: readonly Address[];
}

/** Tiers sort by order, then name. */
export interface Tier {
  readonly name: string;
  readonly order: number;
  /**
   * For traffic of an endpoint that some policy of the tier selects in that direction, and no rule of the tier decides. A tier without
   * such a policy is passed over. Behind the last tier everything is allowed (Calico: the namespace's profile).
   */
  readonly defaultAction: "deny" | "pass";
}

export const policyKinds = [
  "NetworkPolicy",
  "ClusterNetworkPolicy",
  "CalicoNetworkPolicy",
  "GlobalNetworkPolicy",
] as const;
export type PolicyKind = (typeof policyKinds)[number];

export interface PolicyId {
  readonly kind: PolicyKind;
  readonly namespace?: string;
  readonly name: string;
}

/** "NetworkPolicy shop/default-deny", "ClusterNetworkPolicy guard": a key, and what people read. */
export const policyName = ({ kind, namespace, name }: PolicyId): string =>
  `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;

/** Policies of a tier sort by order, then by name (`comparePolicies`). */
export interface Policy {
  readonly id: PolicyId;
  readonly tier: string;
  /** Infinity: Calico's nil. */
  readonly order: number;
  readonly subject: EndpointMatch;
  /** Absent: the policy says nothing about that direction. Empty: it isolates, and allows nothing. */
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
  /**
   * Traffic between an endpoint and its own node is allowed where this policy selects it, before its rules (NetworkPolicy:
   * "traffic to and from the node where a Pod is running is always allowed").
   */
  readonly allowsOwnNode: boolean;
  /** Why it cannot be understood, and no version of it ever was. What it selects is denied in its directions, by this policy. */
  readonly broken?: string;
  /** Where it was read, when from a file. */
  readonly source?: { readonly file: string; readonly line: number };
}

export type RuleAction = "allow" | "deny" | "pass" | "log";

/** Everything that is present must match. */
export interface PolicyRule {
  readonly action: RuleAction;
  /** The rule's own name, where its API has one. */
  readonly name?: string;
  readonly family?: Family;
  /** Absent: anything. The endpoint's own side too may be narrowed (Calico: `destination` of an ingress rule). */
  readonly source?: PeerMatch;
  readonly destination?: PeerMatch;
  /** Any of them; absent: every protocol. Empty: none, so the rule never matches. */
  readonly traffic?: readonly TrafficMatch[];
  readonly notTraffic?: readonly TrafficMatch[];
  /** Of the sender, inclusive; only with a protocol that has ports. */
  readonly sourcePorts?: readonly PortRange[];
  readonly line?: number;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Who may be at the other end. */
export type PeerMatch =
  | { readonly any: readonly PeerMatch[] }
  | { readonly all: readonly PeerMatch[] }
  | { readonly not: PeerMatch }
  | { readonly endpoints: EndpointMatch }
  /** By address, whoever has it: pods and nodes too. Not those in `except`. */
  | { readonly networks: readonly Prefix[]; readonly except: readonly Prefix[] }
  /** Nodes by their labels, and with them pods on their host network. */
  | { readonly nodes: Selector };

/** Workload endpoints. Everything that is present must match. */
export interface EndpointMatch {
  /** Exactly this namespace. */
  readonly namespace?: string;
  /** By the namespace's labels. */
  readonly namespaces?: Selector;
  /** By the endpoint's labels. */
  readonly labels?: Selector;
  readonly serviceAccounts?: readonly string[];
}

export type Selector =
  | { readonly op: "all" }
  | { readonly op: "has"; readonly key: string }
  /** "in" wants the label to be there; "not-in" matches where it is absent too. */
  | { readonly op: "in" | "not-in"; readonly key: string; readonly values: readonly string[] }
  | { readonly op: "contains" | "starts-with" | "ends-with"; readonly key: string; readonly value: string }
  | { readonly op: "not"; readonly of: Selector }
  | { readonly op: "and" | "or"; readonly of: readonly Selector[] };

export const protocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, udplite: 136 } as const;
/** Protocols whose header begins with source and destination port, 16 bits each. */
export const portProtocols: readonly number[] = [protocols.tcp, protocols.udp, protocols.sctp, protocols.udplite];

/** ICMPv6 types that always pass: neighbour discovery (RFC 4861, sections 4.1 to 4.5). */
export const neighbourDiscovery: readonly number[] = [133, 134, 135, 136, 137];

/** By what goes over the wire, towards the destination. */
export type TrafficMatch =
  /** All of a protocol (IANA number). */
  | { readonly protocol: number }
  /** Destination ports, inclusive. */
  | { readonly protocol: number; readonly ports: PortRange }
  /**
   * The destination's own port of that name: a number and protocol that differ from pod to pod. `protocol` absent: whatever the
   * port's is. What has no such port does not match.
   */
  | { readonly protocol?: number; readonly portName: string }
  | { readonly protocol: 1 | 58; readonly icmpType: number; readonly icmpCode?: number };

export type Direction = "ingress" | "egress";

/** Tiers of Kubernetes' own APIs, with Calico's names and orders. */
export const kubernetesTiers: readonly Tier[] = [
  { name: "kube-admin", order: 1_000, defaultAction: "pass" },
  { name: "default", order: 1_000_000, defaultAction: "deny" },
  { name: "kube-baseline", order: 10_000_000, defaultAction: "pass" },
];

export const compareTiers = (a: Tier, b: Tier): number => a.order - b.order || compareText(a.name, b.name);
export const comparePolicies = (a: Policy, b: Policy): number =>
  (a.order === b.order ? 0 : a.order - b.order) || compareText(policyName(a.id), policyName(b.id));

/** By code units: the same on every machine. */
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
