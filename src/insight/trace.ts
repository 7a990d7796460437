import { type Address, familyOf } from "../base/address.ts";
import { errnoText } from "../kernel/errno.ts";
import type { Asker } from "./asker.ts";
import { nodeAt, nodeOfPod } from "./asker.ts";
import type { Hop } from "./leg.ts";
import { type PodPlace, podId } from "./node-view.ts";
import type { ProbeOutcome } from "./probe.ts";
import { type ProbePacket, reversed } from "./probe-packet.ts";
import type { WatchRequest } from "./questions.ts";
import { placeId, placesOf, type Sighting, watchProbe } from "./sightings.ts";
import { findWay, stopOf, type Way } from "./way.ts";

export interface TraceTarget {
  readonly address: Address;
  /** Absent: no pod of the cluster that is known. */
  readonly pod?: { readonly node: string; readonly id: string };
}

export interface TraceOptions {
  /** On `asker.node`; undefined: that node itself. */
  readonly from: PodPlace | undefined;
  /** Of the node's own packet. */
  readonly source?: Address | undefined;
  readonly to: TraceTarget;
  readonly protocol: ProbePacket["protocol"];
  readonly port?: number;
  /** Of the IP packet, bytes. */
  readonly size?: number;
  /** Milliseconds. */
  readonly timeout: number;
}

/** The way of a packet: as the kernels' state says, and as a probe showed. */
export interface Trace {
  readonly from: { readonly node: string; readonly pod?: string; readonly address: Address };
  readonly to: { readonly node?: string; readonly pod?: string; readonly address: Address; readonly port?: number };
  readonly protocol: ProbePacket["protocol"];
  readonly ok: boolean;
  /** One sentence: what came of it. */
  readonly answer: string;
  /** What to do, where it did not arrive. */
  readonly remedy?: string;
  /** Where the probe was last seen, where it is lost. */
  readonly lastSeen?: string;
  readonly request: readonly Hop[];
  readonly reply: readonly Hop[];
  readonly probe: ProbeOutcome;
  readonly sightings: readonly Sighting[];
  /** Where state and probe say different things. */
  readonly differences: readonly string[];
}

const defaultSize = { icmp: 84, tcp: 60, udp: 60 };

/** @throws TwillError when the pod has no address of the family, or the probe cannot even be sent. */
export async function trace(asker: Asker, options: TraceOptions): Promise<Trace> {
  const { from, to, protocol, port } = options;
  const own = asker.nodes.find(({ name }) => name === asker.node);
  const candidates = from?.addresses ?? [
    ...(options.source === undefined ? [] : [options.source]),
    ...(own?.addresses ?? []),
  ];
  const source = candidates.find((address) => familyOf(address) === familyOf(to.address));
  if (source === undefined) throw new RangeError("the caller chose addresses of one family");
  const packet: ProbePacket = {
    source,
    destination: to.address,
    protocol,
    size: Math.max(options.size ?? defaultSize[protocol], familyOf(source) === 4 ? 28 : 48),
    sourcePort: 40_000,
    ...(port === undefined ? {} : { destinationPort: port }),
  };
  const request = await findWay(
    asker,
    asker.node,
    from === undefined ? { from: "node" } : { from: "pod", pod: podId(from) },
    packet,
  );
  const reply = await findBack(asker, to, request, packet);
  const { outcome, sightings } = await watchProbe(
    asker,
    placesOf([...request.hops, ...[...reply.hops].reverse()]),
    packet,
    {
      hosts: (node) => hostsAt(asker, node, request, packet),
      vxlanPorts: [...new Set([...request.tunnels, ...reply.tunnels])],
    },
    () =>
      asker.ask(asker.node, "probe", {
        ...(from === undefined ? {} : { pod: podId(from) }),
        source,
        destination: to.address,
        protocol,
        timeout: options.timeout,
        ...(port === undefined ? {} : { port }),
        ...(options.size === undefined ? {} : { size: packet.size }),
      }),
  );
  const head = {
    from: { node: asker.node, address: source, ...(from === undefined ? {} : { pod: podId(from) }) },
    to: {
      address: to.address,
      ...(to.pod === undefined ? {} : { node: to.pod.node, pod: to.pod.id }),
      ...(port === undefined ? {} : { port }),
    },
    protocol,
  };
  const seen = new Sightings(sightings);
  return {
    ...head,
    ...judge(request, reply, outcome, seen),
    request: request.hops,
    reply: reply.hops,
    probe: outcome,
    sightings,
  };
}

async function findBack(asker: Asker, to: TraceTarget, request: Way, packet: ProbePacket): Promise<Way> {
  const nowhere: Way = { hops: [], end: { to: "nowhere" }, node: asker.node, tunnels: [] };
  if (request.masqueraded !== undefined) return nowhere; // the answer comes to the node, which knows the connection
  const back = reversed(packet);
  if (to.pod !== undefined) return findWay(asker, to.pod.node, { from: "pod", pod: to.pod.id }, back);
  // A node's own address, or its tunnel's.
  const node = nodeAt(asker, to.address) ?? nodeOfPod(asker, to.address);
  return node === undefined ? nowhere : findWay(asker, node.name, { from: "node" }, back);
}

/** Behind a translation the node's address stands where the pod's did: on the node itself both are to be seen. */
function hostsAt(
  asker: Asker,
  node: string,
  request: Way,
  { source, destination }: ProbePacket,
): WatchRequest["hosts"] {
  if (request.masqueraded === undefined) return [source, destination];
  const own = asker.nodes.find(({ name }) => name === asker.node)?.addresses;
  const translated = own?.find((address) => familyOf(address) === familyOf(destination));
  return node === asker.node || translated === undefined ? [destination] : [translated, destination];
}

/** Answers "was it seen there" by hop. */
class Sightings {
  readonly #byPlace: ReadonlyMap<string, Sighting>;
  readonly errors: readonly string[];

  constructor(sightings: readonly Sighting[]) {
    this.#byPlace = new Map(sightings.map((sighting) => [placeId(sighting.node, sighting), sighting]));
    this.errors = [...new Set(sightings.flatMap(({ errors }) => errors))];
  }

  of({ node, watch }: Hop): Sighting | undefined {
    const found = watch === undefined ? undefined : this.#byPlace.get(placeId(node, watch));
    return found?.blind === undefined ? found : undefined;
  }

  /** A place that is not on the way, as far as the state tells it, where the request was seen all the same. */
  beyond(hops: readonly Hop[]): Sighting | undefined {
    const known = new Set(hops.flatMap(({ node, watch }) => (watch === undefined ? [] : [placeId(node, watch)])));
    return [...this.#byPlace].find(([id, { request }]) => request && !known.has(id))?.[1];
  }

  /** Hops of a way that can be watched, cut behind the last at which it was seen. */
  split(
    hops: readonly Hop[],
    what: "request" | "reply",
  ): { readonly last: Hop | undefined; readonly next: Hop | undefined } {
    const watched = hops.filter((hop) => this.of(hop) !== undefined);
    const index = watched.findLastIndex((hop) => this.of(hop)?.[what]);
    return { last: watched[index], next: watched[index + 1] };
  }
}

type Judgement = Pick<Trace, "ok" | "answer" | "remedy" | "lastSeen" | "differences">;

function judge(request: Way, reply: Way, probe: ProbeOutcome, seen: Sightings): Judgement {
  const stop = stopOf(request) ?? stopOf(reply);
  const time = probe.roundTrip === undefined ? "" : `, ${probe.roundTrip.toFixed(2)} ms`;
  if (probe.result === "answered" || probe.result === "refused") {
    const differences = stop === undefined ? [] : [`by its state, ${describeStop(stop)}; but the probe came through`];
    const answer =
      probe.result === "answered" ? `it answers${time}` : `it is reached${time}, and nobody listens on this port`;
    return { ok: true, answer, differences };
  }
  const going = seen.split(request.hops, "request");
  const beyond = seen.beyond(request.hops);
  const stopped = stopOf(request) !== undefined && beyond === undefined;
  if (stopped || going.next !== undefined || going.last === undefined)
    return lost("the probe", request, going, seen, probe);
  const coming = seen.split(reply.hops, "reply");
  if (coming.last === undefined && stopOf(reply) === undefined) return unanswered(request, going.last);
  if (coming.next === undefined && coming.last !== undefined && stopOf(reply) === undefined)
    return {
      ok: false,
      answer: "the answer came back to the pod, and the pod did not take it",
      remedy: "look at the pod's own firewall and routes",
      differences: [],
    };
  return lost("the answer", reply, coming, seen, probe);
}

/** It left from `last` and did not come to `next`: the state of what lies between says why, or says nothing. */
function lost(
  what: string,
  way: Way,
  { last, next }: { readonly last: Hop | undefined; readonly next: Hop | undefined },
  seen: Sightings,
  probe: ProbeOutcome,
): Judgement {
  const stop = stopOf(way);
  const error = probe.errno === undefined ? "" : ` (${errnoText(probe.errno)})`;
  const [said] = seen.errors;
  const told = said === undefined ? "" : `; somebody said: ${said}`;
  const lastSeen = last === undefined ? undefined : `${last.node} ${last.place}`;
  const at = lastSeen === undefined ? {} : { lastSeen };
  if (stop !== undefined) {
    return {
      ok: false,
      answer: `${what} stops: ${describeStop(stop)}${error}`,
      ...(stop.remedy === undefined ? {} : { remedy: stop.remedy }),
      ...at,
      differences: [],
    };
  }
  const where =
    last === undefined
      ? `${what} never left the pod`
      : `${what} was last seen at ${lastSeen} and ${next === undefined ? "not behind it" : `never came to ${next.node} ${next.place}`}`;
  const perhaps = way.hops.find(({ verdict }) => verdict === "unsure");
  const differences = [
    `by the kernels' state it should arrive${perhaps === undefined ? "" : `, unless ${perhaps.node}: ${perhaps.text}`}; ${where}`,
  ];
  return { ok: false, answer: `${where}${error}${told}`, remedy: between(last, next), ...at, differences };
}

function unanswered(request: Way, last: Hop): Judgement {
  const outside = request.end.to === "outside";
  return {
    ok: false,
    answer: outside ? "the probe left the cluster, and nothing came back" : "the probe arrived, and nothing answers",
    remedy: outside
      ? "look beyond the nodes: the router, or the other end"
      : "look at the program in the pod: is it listening, and on this address?",
    lastSeen: `${last.node} ${last.place}`,
    differences: [],
  };
}

/** What lies between two devices, for a person who has to look there. */
function between(last: Hop | undefined, next: Hop | undefined): string {
  if (last === undefined) return "look into the pod: its routes, its own firewall";
  if (next !== undefined && last.node !== next.node) {
    return `look between ${last.node} and ${next.node}: a firewall or security group, a router, or an MTU too small on the way`;
  }
  return `look at ${last.node}: nft list ruleset, and whatever else takes packets (tc, eBPF, iptables-legacy)`;
}

const describeStop = ({ node, place, text }: Hop): string => `${node} ${place}: ${text}`;
