import type { Address } from "../base/address.ts";
import type { Direction, PolicyId } from "./policy.ts";

/**
 * What one node's kernel must know of policy: tables of exact keys (docs/design/policy.md has the way of a packet through them). The
 * rules that consult them never change; only rows do. Numbers are the compiler's: the same state with other numbers is
 * the same state.
 */
export interface PolicyState {
  /** Every address of an endpoint of this node has one, even of class 0 and no group: what has none there is not known to policy. */
  readonly addresses: ReadonlyMap<Address, AddressRow>;
  /**
   * What the rest of the address space is, per family: disjoint, ascending ranges. What is in none of them and in no row of `addresses`
   * is of class 0.
   */
  readonly networks: readonly NetworkRow[];
  /** By `portKey`. */
  readonly ports: ReadonlyMap<PortKey, PortRow>;
  /** By `decisionKey`. Rows that say the same as those asked after them are left out. */
  readonly decisions: ReadonlyMap<DecisionKey, DecisionNumber>;
  readonly verdicts: ReadonlyMap<DecisionNumber, Decision>;
}

/** Rows that are other than before; undefined: gone. */
export interface PolicyChange {
  readonly addresses: ReadonlyMap<Address, AddressRow | undefined>;
  /** All of them, when any is other. */
  readonly networks?: readonly NetworkRow[];
  readonly ports: ReadonlyMap<PortKey, PortRow | undefined>;
  readonly decisions: ReadonlyMap<DecisionKey, DecisionNumber | undefined>;
  readonly verdicts: ReadonlyMap<DecisionNumber, Decision | undefined>;
}

/** Addresses that no policy of this node tells apart: same number. 0: whatever no row names. 31 bits. */
export type ClassNumber = number;
export const outsideClass: ClassNumber = 0;
/** Of packets to the node itself whose destination has no row. */
export const ownNodeClass: ClassNumber = 1;

/**
 * Local endpoints for which the same decisions hold in one direction. 0: none, so there is nothing to decide. 31 bits;
 * ingress and egress groups are of one number space.
 */
export type GroupNumber = number;

export interface AddressRow {
  readonly class: ClassNumber;
  /** 0 for what is not an endpoint of this node. */
  readonly ingress: GroupNumber;
  readonly egress: GroupNumber;
}

export interface NetworkRow {
  readonly first: Address;
  /** Inclusive. */
  readonly last: Address;
  readonly class: ClassNumber;
}

/**
 * Ports of one protocol that a group's rules do not tell apart. 0: those without a row. For ICMP and ICMPv6 a port is
 * type × 256 + code; other protocols have none and are always 0.
 */
export type PortClass = number;

export interface PortRow {
  readonly group: GroupNumber;
  readonly protocol: number;
  /** Inclusive; first === last for all but wide ranges. */
  readonly first: number;
  readonly last: number;
  readonly class: PortClass;
}

/** `group/protocol/first`. Rows of one group and protocol never overlap. */
export type PortKey = string;
export const portKey = (group: GroupNumber, protocol: number, first: number): PortKey =>
  `${group}/${protocol}/${first}`;

/**
 * `group/class/protocol/portClass`. Asked in this order, and the first row found counts:
 * (group, class, protocol, port class), (group, class, 0, 0), (group, 0, protocol, port class), (group, 0, 0, 0), which every
 * group has. Protocol and port class 0/0 stand for all that has no row of its own: "anything from this class" is one row.
 * The class is that of the peer's row in `addresses`, if it has one, else that of its range in `networks`, else 0: an
 * address with a row is never looked up in `networks`.
 */
export type DecisionKey = string;
export const decisionKey = (group: GroupNumber, of: ClassNumber, protocol: number, port: PortClass): DecisionKey =>
  `${group}/${of}/${protocol}/${port}`;

/** 1 to 2^31-1. One number for one content (`key`) as long as any connection may bear it. */
export type DecisionNumber = number;

/** Why a packet passes or does not. */
export interface Decision {
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  /** Also to be reported as a flow (rules of action "log" that came before, or the agent's setting). */
  readonly log: boolean;
  readonly reason: DecisionReason;
}

export type DecisionReason =
  /** Rule `rule` (from 0) of the policy in that direction. */
  | { readonly by: "rule"; readonly policy: PolicyId; readonly rule: number }
  /** Policies of the tier select the endpoint, and none of their rules matched. */
  | { readonly by: "tier"; readonly tier: string; readonly isolatedBy: readonly PolicyId[] }
  /** The policy could not be understood. */
  | { readonly by: "broken"; readonly policy: PolicyId }
  /** NetworkPolicy never stands between a pod and its own node. */
  | { readonly by: "own-node"; readonly policy: PolicyId }
  | { readonly by: "no-policy" }
  /** The endpoint's labels are not known. */
  | { readonly by: "unknown-endpoint" };

/** A decision's content as text: equal decisions, equal keys. Survives restarts, so numbers can be adopted by it. */
export const decisionContent = (decision: Decision): string => JSON.stringify(decision);
