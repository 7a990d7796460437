import { describeError } from "../base/errors.ts";
import { describeFrame, type Frame, type IpPacket, readFrame } from "../wire/packet.ts";
import type { Asker } from "./asker.ts";
import type { Hop, WatchPoint } from "./leg.ts";
import type { ProbePacket } from "./probe-packet.ts";
import { protocolNumber } from "./probe-packet.ts";
import type { WatchRequest } from "./questions.ts";

/** What passed one device of one node while the probe was under way. */
export interface Sighting {
  readonly node: string;
  /** "namespace/name"; absent: the node's own device. */
  readonly pod?: string;
  readonly device: string;
  readonly request: boolean;
  readonly reply: boolean;
  /** ICMP errors about it: "192.168.1.1 > 10.244.1.2 ICMP needs fragments, MTU 1400". */
  readonly errors: readonly string[];
  /** It could not be watched. */
  readonly blind?: string;
}

export interface Place {
  readonly node: string;
  readonly pod?: string;
  readonly device: string;
}

/** Every device on the way, once, in order. */
export function placesOf(hops: readonly Hop[]): Place[] {
  const places = new Map<string, Place>();
  for (const { node, watch } of hops) if (watch !== undefined) places.set(placeId(node, watch), placeOf(node, watch));
  return [...places.values()];
}

const placeOf = (node: string, { pod, device }: WatchPoint): Place => ({
  node,
  device,
  ...(pod === undefined ? {} : { pod }),
});
export const placeId = (node: string, { pod, device }: Pick<WatchPoint, "pod" | "device">): string =>
  JSON.stringify([node, pod, device]);

/** Watches all places on all their nodes while `send` is under way. */
export async function watchProbe<T>(
  asker: Asker,
  places: readonly Place[],
  packet: ProbePacket,
  options: { readonly hosts: (node: string) => WatchRequest["hosts"]; readonly vxlanPorts: readonly number[] },
  send: () => Promise<T>,
): Promise<{ readonly outcome: T; readonly sightings: readonly Sighting[] }> {
  const groups = [...Map.groupBy(places, ({ node }) => node)];
  const limits = { milliseconds: 30_000, bytes: 1 << 20, snapLength: 256 };
  const watches = [];
  for (const [node, group] of groups) {
    const where = group.map(({ device, pod }) => ({ device, ...(pod === undefined ? {} : { pod }) }));
    try {
      watches.push({
        node,
        group,
        ...(await asker.ask(node, "watch", {
          places: where,
          hosts: options.hosts(node),
          vxlanPorts: options.vxlanPorts,
          ...limits,
        })),
      });
    } catch (error) {
      watches.push({ node, group, blind: describeError(error) });
    }
  }
  let outcome: T;
  try {
    outcome = await send();
  } catch (error) {
    for (const { node, ...watch } of watches)
      if ("id" in watch) await asker.ask(node, "watched", { id: watch.id }).catch(() => {});
    throw error;
  }
  const sightings: Sighting[] = [];
  for (const { node, group, ...watch } of watches) {
    if ("blind" in watch) {
      sightings.push(
        ...group.map((place) => ({ ...place, request: false, reply: false, errors: [], blind: watch.blind })),
      );
      continue;
    }
    const { packets, failures } = await asker.ask(node, "watched", { id: watch.id });
    for (const [index, place] of group.entries()) {
      const frames = packets
        .filter((seen) => seen.place === index)
        .map((seen) => read(seen.bytes, options.vxlanPorts))
        .filter((frame) => frame !== undefined);
      const blind = failures.find((failure) => failure.place === index)?.reason;
      sightings.push({ ...place, ...recognise(frames, packet), ...(blind === undefined ? {} : { blind }) });
    }
  }
  const order = new Map(places.map((place, index) => [placeId(place.node, place), index]));
  sightings.sort((a, b) => (order.get(placeId(a.node, a)) ?? 0) - (order.get(placeId(b.node, b)) ?? 0));
  return { outcome, sightings };
}

/** The frame that the packet itself is in: inside the tunnel, where there is one. */
function read(bytes: string, ports: readonly number[]): Frame | undefined {
  const frame = Uint8Array.fromBase64(bytes);
  const readings = [readFrame(frame), ...ports.map((port) => readFrame(frame, port)?.packet?.vxlan?.frame)];
  return readings.findLast((reading) => reading !== undefined);
}

function recognise(frames: readonly Frame[], packet: ProbePacket): Pick<Sighting, "request" | "reply" | "errors"> {
  const ip = frames.flatMap((frame) => (frame.packet === undefined ? [] : [frame.packet]));
  const number = protocolNumber(packet);
  const goes = (one: IpPacket) =>
    one.protocol === number && one.destination === packet.destination && isProbe(one, packet, "request");
  const comes = (one: IpPacket) =>
    one.protocol === number && one.source === packet.destination && isProbe(one, packet, "reply");
  const errors = frames.filter(({ packet: one }) => one !== undefined && isError(one)).map(describeFrame);
  return { request: ip.some(goes), reply: ip.some(comes), errors: [...new Set(errors)] };
}

function isProbe(seen: IpPacket, { protocol, destinationPort }: ProbePacket, way: "request" | "reply"): boolean {
  if (protocol !== "icmp") return (way === "request" ? seen.destinationPort : seen.sourcePort) === destinationPort;
  return seen.icmp !== undefined && (way === "request" ? [8, 128] : [0, 129]).includes(seen.icmp.type);
}

const isError = ({ icmp, protocol }: IpPacket): boolean =>
  icmp !== undefined && (protocol === 1 ? [3, 11].includes(icmp.type) : icmp.type < 128);
