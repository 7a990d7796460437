import { describeFrame, readFrame } from "../wire/packet.ts";
import { packetKey } from "./packet-key.ts";
import type { WatchedPacket } from "./watch.ts";

/** A device that was captured at. */
export interface CapturePlace {
  readonly node: string;
  /** "namespace/name"; absent: the node's own. */
  readonly pod?: string;
  readonly device: string;
  /** From the pod outwards: its own device 0, the node's end of its link 1, a tunnel 2, the underlay 3. */
  readonly depth: number;
  /** UDP ports of tunnels, where encapsulated packets pass. */
  readonly vxlanPorts: readonly number[];
}

/** A packet at a place, by the clock of the node that the command runs on. */
export interface PlacedPacket {
  readonly place: number;
  readonly time: bigint;
  readonly outgoing: boolean;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** @param skew milliseconds, that node's clock minus ours. */
export const placed = (packet: WatchedPacket, place: number, skew: number): PlacedPacket => ({
  place,
  time: BigInt(packet.time) - BigInt(Math.round(skew * 1e6)),
  outgoing: packet.outgoing,
  length: packet.length,
  bytes: Uint8Array.fromBase64(packet.bytes),
});

export const placeName = ({ node, pod, device }: CapturePlace): string =>
  pod === undefined ? `${node} ${device}` : `${node} ${pod} ${device}`;

/** One packet's passage through the devices. */
export interface Passage {
  readonly text: string;
  /** Nanoseconds since 1970 at the first. */
  readonly time: bigint;
  readonly stops: readonly { readonly place: number; readonly outgoing: boolean; readonly after: bigint }[];
}

/** Of one and the same packet, two sights at one device in one direction are two packets: it was sent again. */
const sameWithin = 2_000_000_000n;

/**
 * By time. The kernel stamps a packet once on its way in, so devices behind each other may share a time: then it is the way
 * through the node that tells the order.
 */
export function inOrder(packets: readonly PlacedPacket[], places: readonly CapturePlace[]): PlacedPacket[] {
  return [...packets].sort((a, b) => {
    if (a.time !== b.time) return a.time < b.time ? -1 : 1;
    const [one, other] = [places[a.place], places[b.place]];
    if (one === undefined || other === undefined || one.node !== other.node) return a.place - b.place;
    const towardsPod = (packet: PlacedPacket, { depth }: CapturePlace) => packet.outgoing === (depth === 1);
    return towardsPod(a, one) ? other.depth - one.depth : one.depth - other.depth;
  });
}

/** Brings together what is one packet at several devices. @param packets in order of time. */
export function passages(packets: readonly PlacedPacket[], places: readonly CapturePlace[]): Passage[] {
  const all: { text: string; time: bigint; stops: { place: number; outgoing: boolean; after: bigint }[] }[] = [];
  const open = new Map<string, (typeof all)[number]>();
  for (const { place, time, outgoing, bytes } of packets) {
    const ports = places[place]?.vxlanPorts ?? [];
    const outer = readFrame(bytes);
    if (outer === undefined) continue;
    const inner = ports
      .map((port) => readFrame(bytes, port)?.packet?.vxlan?.frame)
      .find((frame) => frame !== undefined);
    const key = packetKey(bytes, ports);
    const known = open.get(key);
    const repeated = known?.stops.some((stop) => stop.place === place && stop.outgoing === outgoing) ?? true;
    if (known !== undefined && !repeated && time - known.time < sameWithin) {
      known.stops.push({ place, outgoing, after: time - known.time });
      continue;
    }
    const passage = { text: describeFrame(inner ?? outer), time, stops: [{ place, outgoing, after: 0n }] };
    open.set(key, passage);
    all.push(passage);
  }
  return all;
}
