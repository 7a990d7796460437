import type { Family } from "../../base/address.ts";
import { type Direction, protocols } from "../../model/policy.ts";
import { byteData, hostData, interfaceData, zeroData } from "../../objects/nft-data.ts";
import type { NftExpression, NftRegister } from "../../objects/nft-expression.ts";

/**
 * Which registers the program uses for what. A row of `addresses` fills four: class, hints, ingress group, egress group. So the group of
 * one end stands where the next row's class follows it, and both are part of one key without being moved:
 *
 *     egress     2 port class   3 group   4 class of the destination   5 protocol
 *     ingress    1 port class   2 group   3 class of the source        4 protocol
 *
 * nft (1.0.6) dies of an assertion when it lists a key that begins in a register that a map has filled. So what is a key's first word is always
 * the second word of a map's data, and the first is nothing.
 */
export const rowRegister: NftRegister = 0;
export const hintsRegister: NftRegister = 1;
export const groupRegister: Readonly<Record<Direction, NftRegister>> = { ingress: 2, egress: 3 };
/** An address that is about to be looked up: four words. */
export const addressRegister: NftRegister = 8;
/** The connection's label: four words, of which the direction's own becomes the decision's number. */
export const labelRegister: NftRegister = 12;

export type End = "source" | "destination";
/** The end that is judged, and the other one. */
export const ownEnd: Readonly<Record<Direction, End>> = { egress: "source", ingress: "destination" };
export const peerEnd: Readonly<Record<Direction, End>> = { egress: "destination", ingress: "source" };

/** RFC 791 section 3.1, RFC 8200 section 3. */
const offsets = { source: { 4: 12, 6: 8 }, destination: { 4: 16, 6: 24 } } as const;

export const loadAddress = (family: Family, end: End, to: NftRegister = addressRegister): NftExpression => ({
  type: "payload",
  base: "network",
  offset: offsets[end][family],
  length: family === 4 ? 4 : 16,
  to,
});

/** Behind IPv6 extension headers. */
export const loadProtocol = (to: NftRegister): NftExpression => ({ type: "meta", key: "l4proto", to });
/** Of protocols that have ports. Of others it is whatever stands there, and no row names it. */
export const loadDestinationPort = (to: NftRegister): NftExpression => ({
  type: "payload",
  base: "transport",
  offset: 2,
  length: 2,
  to,
});
/** Type and code. */
export const loadIcmpType = (to: NftRegister): NftExpression => ({
  type: "payload",
  base: "transport",
  offset: 0,
  length: 2,
  to,
});

export const lookup = (set: string, from: NftRegister, to: NftRegister | "verdict"): NftExpression => ({
  type: "lookup",
  set,
  from,
  to,
});
export const number = (to: NftRegister, value: number): NftExpression => ({
  type: "immediate",
  to,
  value: hostData(value),
});
export const is = (from: NftRegister, value: number, op: "eq" | "neq" = "eq"): NftExpression => ({
  type: "cmp",
  from,
  op,
  value: hostData(value),
});
export const isByte = (from: NftRegister, value: number, op: "eq" | "neq" = "eq"): NftExpression => ({
  type: "cmp",
  from,
  op,
  value: byteData(value),
});
/** Any of the bits. */
export const hasBits = (register: NftRegister, bits: number): NftExpression[] => [
  { type: "bitwise", from: register, to: register, length: 4, mask: hostData(bits), xor: zeroData(4) },
  is(register, 0, "neq"),
];

export const go = (verdict: "jump" | "goto", chain: string): NftExpression => ({
  type: "verdict",
  verdict: { verdict, chain },
});
export const accept: NftExpression = { type: "verdict", verdict: { verdict: "accept" } };

export const onInterface = (key: "iifname" | "oifname", prefix: string): NftExpression[] => [
  { type: "meta", key, to: 0 },
  { type: "cmp", from: 0, op: "eq", value: interfaceData(prefix, { wildcard: true }) },
];

/** NFPROTO_IPV4, NFPROTO_IPV6 (linux/netfilter.h). */
export const isFamily = (family: Family): NftExpression[] => [
  { type: "meta", key: "nfproto", to: 0 },
  isByte(0, family === 4 ? 2 : 10),
];
export const icmpOf: Readonly<Record<Family, number>> = { 4: protocols.icmp, 6: protocols.icmpv6 };
