import { portProtocols, protocols } from "../../model/policy.ts";

/**
 * A set of (protocol, port), as policy tells traffic apart: half-open ranges [from, to) of protocol × 65,536 + port, disjoint,
 * ascending, never touching, all boundaries in one list. ICMP's port is type × 256 + code; of other protocols without ports
 * it is always all or nothing.
 */
export type Traffic = readonly number[];

const portsOfProtocol = 1 << 16;
const end = 256 * portsOfProtocol;

export const noTraffic: Traffic = [];
export const allTraffic: Traffic = [0, end];

/** Where a packet lies. @param port 0 for protocols without. */
export const pointOf = (protocol: number, port: number): number => protocol * portsOfProtocol + port;
export const protocolOf = (point: number): number => Math.floor(point / portsOfProtocol);
export const portOf = (point: number): number => point % portsOfProtocol;

export const wholeProtocol = (protocol: number): Traffic => [pointOf(protocol, 0), pointOf(protocol + 1, 0)];
/** Ports inclusive. */
export const portRange = (protocol: number, first: number, last: number): Traffic =>
  first > last ? noTraffic : [pointOf(protocol, first), pointOf(protocol, last) + 1];

export const isNone = (traffic: Traffic): boolean => traffic.length === 0;
export const isEqual = (a: Traffic, b: Traffic): boolean =>
  a === b || (a.length === b.length && a.every((boundary, index) => boundary === b[index]));

export const unite = (a: Traffic, b: Traffic): Traffic => combine(a, b, (inA, inB) => inA || inB);
export const intersect = (a: Traffic, b: Traffic): Traffic => combine(a, b, (inA, inB) => inA && inB);
export const subtract = (a: Traffic, b: Traffic): Traffic => combine(a, b, (inA, inB) => inA && !inB);
export const uniteAll = (parts: readonly Traffic[]): Traffic => parts.reduce(unite, noTraffic);

export function holds(traffic: Traffic, point: number): boolean {
  let low = 0;
  let high = traffic.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((traffic[middle] ?? end) <= point) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

/** One pass over both lists: what is inside changes only at a boundary of one of them. */
function combine(a: Traffic, b: Traffic, keep: (inA: boolean, inB: boolean) => boolean): Traffic {
  const result: number[] = [];
  let [atA, atB] = [0, 0];
  while (atA < a.length || atB < b.length) {
    const boundary = Math.min(a[atA] ?? end, b[atB] ?? end);
    while (a[atA] === boundary) atA++;
    while (b[atB] === boundary) atB++;
    const inside = keep(atA % 2 === 1, atB % 2 === 1);
    if (inside !== (result.length % 2 === 1)) result.push(boundary);
  }
  return result;
}

/** "TCP 80, 443, 8000-8100; UDP 53", "everything", "everything but TCP 25". */
export function describeTraffic(traffic: Traffic): string {
  if (isNone(traffic)) return "nothing";
  if (isEqual(traffic, allTraffic)) return "everything";
  const absent = subtract(allTraffic, traffic);
  return wholeProtocols(traffic) > 128 ? `everything but ${describeParts(absent)}` : describeParts(traffic);
}

const wholeProtocols = (traffic: Traffic): number => byProtocol(traffic).filter(({ whole }) => whole).length;

const describeParts = (traffic: Traffic): string =>
  byProtocol(traffic)
    .map(({ protocol, ranges, whole }) =>
      whole ? `all ${protocolName(protocol)}` : `${protocolName(protocol)} ${describeRanges(protocol, ranges)}`,
    )
    .join("; ");

interface OfProtocol {
  readonly protocol: number;
  readonly whole: boolean;
  /** Inclusive. */
  readonly ranges: readonly (readonly [first: number, last: number])[];
}

function byProtocol(traffic: Traffic): readonly OfProtocol[] {
  const found = new Map<number, (readonly [number, number])[]>();
  for (let at = 0; at < traffic.length; at += 2) {
    const [from = 0, to = end] = [traffic[at], traffic[at + 1]];
    for (let protocol = protocolOf(from); protocol <= protocolOf(to - 1); protocol++) {
      const first = Math.max(from, pointOf(protocol, 0));
      const last = Math.min(to, pointOf(protocol + 1, 0)) - 1;
      const ranges = found.get(protocol) ?? [];
      ranges.push([portOf(first), portOf(last)]);
      found.set(protocol, ranges);
    }
  }
  return [...found].map(([protocol, ranges]) => ({
    protocol,
    ranges,
    whole: ranges[0]?.[0] === 0 && ranges[0][1] === portsOfProtocol - 1,
  }));
}

function describeRanges(protocol: number, ranges: OfProtocol["ranges"]): string {
  if (protocol === protocols.icmp || protocol === protocols.icmpv6) return ranges.map(describeIcmp).join(", ");
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

function describeIcmp([first, last]: readonly [number, number]): string {
  const [type, code] = [first >> 8, first & 255];
  if (first === last) return `type ${type} code ${code}`;
  const lastType = last >> 8;
  const types = type === lastType ? `type ${type}` : `types ${type}-${lastType}`;
  return code === 0 && (last & 255) === 255 ? types : `${types} code ${code}-${last & 255}`;
}

const names = new Map<number, string>([
  [protocols.icmp, "ICMP"],
  [protocols.tcp, "TCP"],
  [protocols.udp, "UDP"],
  [protocols.icmpv6, "ICMPv6"],
  [protocols.sctp, "SCTP"],
  [protocols.udplite, "UDP-Lite"],
]);

/** "TCP", "protocol 47". */
export const protocolName = (protocol: number): string => names.get(protocol) ?? `protocol ${protocol}`;

/** "TCP 80", "ICMP type 8 code 0", "protocol 47": one packet's. */
export const describePoint = (protocol: number, port: number): string =>
  portProtocols.includes(protocol)
    ? `${protocolName(protocol)} ${port}`
    : protocol === protocols.icmp || protocol === protocols.icmpv6
      ? `${protocolName(protocol)} ${describeIcmp([port, port])}`
      : protocolName(protocol);
