import type { Family } from "../../base/address.ts";
import type { Direction } from "../../model/policy.ts";
import { outsideClass, ownNodeClass } from "../../model/policy-state.ts";
import { epochKey, type NftChain, type NftRule } from "../../objects/nft.ts";
import { zeroData } from "../../objects/nft-data.ts";
import type { NftExpression } from "../../objects/nft-expression.ts";
import { labels } from "../hooks.ts";
import { twillTable } from "../masquerade.ts";
import {
  denyChain,
  dispatchChain,
  evaluationChain,
  hints,
  type Path,
  type PeerKind,
  setNames,
  unknownClass,
} from "./names.ts";
import {
  addressRegister,
  type End,
  go,
  groupRegister,
  hasBits,
  hintsRegister,
  icmpOf,
  is,
  isByte,
  labelRegister,
  loadAddress,
  loadDestinationPort,
  loadIcmpType,
  loadProtocol,
  lookup,
  number,
  ownEnd,
  peerEnd,
  rowRegister,
} from "./registers.ts";

export interface ChainOfRules {
  readonly chain: NftChain;
  readonly rules: readonly NftRule[];
}

export type RuleLine = readonly [comment: string, ...expressions: NftExpression[]];

export const chainOf = (name: string, comment: string, rules: readonly RuleLine[]): ChainOfRules => ({
  chain: { ...twillTable, name, comment },
  rules: rules.map(([text, ...expressions]) => ({ ...twillTable, chain: name, comment: text, expressions })),
});

/**
 * First what most packets meet, a named port between endpoints; then by what is known of the peer. A packet whose first four bytes of transport
 * header are missing has no port to be judged by.
 */
export function dispatch(direction: Direction, family: Family, path: Path): ChainOfRules {
  const name = dispatchChain(direction, family, path);
  const peer = peerEnd[direction];
  const readable = loadDestinationPort(addressRegister);
  const other = path === "forward" ? "network" : "own_node";
  return chainOf(name, `${direction} policy: by the ${peer}`, [
    ["the epoch, once", ...takeEpoch],
    ["class, named port", ...judgement(direction, family, "endpoint").classNamed],
    [
      `the ${peer} has a row`,
      readable,
      ...rowOf(family, peer),
      is(rowRegister, unknownClass, "neq"),
      go("goto", evaluationChain(direction, family, "endpoint")),
    ],
    [
      other === "network" ? `the ${peer} is in a network, or nowhere` : "this node by an address without a row",
      readable,
      go("goto", evaluationChain(direction, family, other)),
    ],
    ["no transport header to judge by", go("goto", denyChain("unreadable"))],
  ]);
}

/** The rows of `decisions` in the order of `DecisionKey`. */
export function evaluation(direction: Direction, family: Family, peer: PeerKind): ChainOfRules {
  const rules = judgement(direction, family, peer);
  const whose = { endpoint: "its row's class", network: "its network's class", own_node: "this node's class" }[peer];
  return chainOf(evaluationChain(direction, family, peer), `${direction} policy, ${peerEnd[direction]}: ${whose}`, [
    ...(peer === "endpoint" ? [] : [["class, named port", ...rules.classNamed] as const]),
    ["class, port in a wide range, or the rest of its protocol", ...rules.classRanged],
    ["class, ICMP type", ...rules.classIcmp],
    ["class, anything else", ...rules.classAnything],
    ["any class, named port", ...rules.anyNamed],
    ["any class, port in a wide range, or the rest of its protocol", ...rules.anyRanged],
    ["any class, ICMP type", ...rules.anyIcmp],
    ["any class, anything else", ...rules.anyAnything],
    ["no decision: cannot be", go("goto", denyChain("unreadable"))],
  ]);
}

type Step =
  | "classNamed"
  | "classRanged"
  | "classIcmp"
  | "classAnything"
  | "anyNamed"
  | "anyRanged"
  | "anyIcmp"
  | "anyAnything";

/**
 * The hot path. Registers do not live from one rule to the next, so each rule makes all lookups it needs; one that finds nothing falls to the
 * next.
 */
function judgement(
  direction: Direction,
  family: Family,
  peer: PeerKind,
): Readonly<Record<Step, readonly NftExpression[]>> {
  const group = groupRegister[direction];
  const [portClass, ofPeer, protocol] = [group - 1, group + 1, group + 2];
  const own = rowOf(family, ownEnd[direction]);
  const port = [loadProtocol(group + 1), loadDestinationPort(group + 2)];
  const isIcmp = (op: "eq" | "neq"): NftExpression[] => [
    loadProtocol(addressRegister),
    isByte(addressRegister, icmpOf[family], op),
  ];
  const hinted = [...own, ...hasBits(hintsRegister, hints[direction])];
  const ports = {
    named: [...own, ...port, lookup(setNames.ports, group, portClass - 1), is(portClass, 0, "neq")],
    ranged: [
      ...isIcmp("neq"),
      ...hinted,
      ...port,
      lookup(setNames.ports, group, portClass - 1),
      is(portClass, 0),
      lookup(setNames.portRanges, group, portClass - 1),
    ],
    icmp: [
      ...isIcmp("eq"),
      ...hinted,
      loadProtocol(group + 1),
      loadIcmpType(group + 2),
      lookup(setNames.icmp, group, portClass - 1),
    ],
    anything: [...own, number(portClass, 0)],
  };
  const classes = { of: peerClass(direction, family, peer, ofPeer), none: [number(ofPeer, outsideClass)] };
  const rule = (traffic: keyof typeof ports, of: keyof typeof classes): NftExpression[] => [
    ...ports[traffic],
    ...classes[of],
    traffic === "anything" ? number(protocol, 0) : loadProtocol(protocol),
    ...decision(direction, portClass),
  ];
  return {
    classNamed: rule("named", "of"),
    classRanged: rule("ranged", "of"),
    classIcmp: rule("icmp", "of"),
    classAnything: rule("anything", "of"),
    anyNamed: rule("named", "none"),
    anyRanged: rule("ranged", "none"),
    anyIcmp: rule("icmp", "none"),
    anyAnything: rule("anything", "none"),
  };
}

/** Label bits are only ever added, so a second number would mix with the first. */
const takeEpoch: readonly NftExpression[] = [
  { type: "ct", key: "label", to: 0 },
  is(labels.epoch, 0),
  { type: "immediate", to: 0, value: epochKey },
  { type: "immediate", to: labelRegister, value: zeroData(16) },
  lookup(setNames.epoch, 0, labelRegister + labels.epoch),
  { type: "ct.set", key: "label", from: labelRegister },
];

export const rowOf = (family: Family, end: End): NftExpression[] => [
  loadAddress(family, end),
  lookup(setNames.addresses[family], addressRegister, rowRegister),
];

function peerClass(direction: Direction, family: Family, peer: PeerKind, to: number): NftExpression[] {
  if (peer === "own_node") return [number(to, ownNodeClass)];
  const map = peer === "endpoint" ? setNames.addresses[family] : setNames.networks[family];
  return [loadAddress(family, peerEnd[direction]), lookup(map, addressRegister, to)];
}

/** The decision's number goes into its word of the connection's label, and then decides. */
function decision(direction: Direction, key: number): NftExpression[] {
  const word = labelRegister + (direction === "egress" ? labels.egressDecision : labels.ingressDecision);
  return [
    { type: "immediate", to: labelRegister, value: zeroData(16) },
    lookup(setNames.decisions, key, word - 1),
    { type: "ct.set", key: "label", from: labelRegister },
    lookup(setNames.verdicts, word, labelRegister),
    lookup(setNames.actions, labelRegister + 1, "verdict"),
  ];
}
