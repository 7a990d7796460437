import type { Address } from "../../base/address.ts";
import type { Flow, FlowEnd, FlowObstacle, FlowReason, FlowTotals } from "../../model/flow.ts";

/** One connection that began, or one packet that was denied. */
export interface Sighting {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly verdict: Flow["verdict"];
  readonly protocol: number;
  readonly source: Address;
  readonly destination: Address;
  readonly port?: number;
  readonly icmp?: Flow["icmp"];
  readonly service?: Flow["service"];
  /** Numbers of the decisions; 0: that direction was not this node's to decide. */
  readonly egress: number;
  readonly ingress: number;
  readonly obstacle?: FlowObstacle;
}

/** What addresses and numbers mean. Asked once for alike sightings of a window. */
export interface FlowNames {
  end(address: Address): FlowEnd;
  reason(number: number): FlowReason;
}

export type FlowDraft = Omit<Flow, "sequence">;

/** What alike flows have in common: an ended connection is added to its flow by it. Shared, so that an open connection costs a reference. */
export interface FlowKind
  extends Pick<
    Flow,
    "verdict" | "protocol" | "source" | "destination" | "port" | "icmp" | "service" | "egress" | "ingress" | "obstacle"
  > {
  readonly key: string;
}

export interface AggregateLimits {
  /** Flows of one window, whatever they are. */
  readonly flows: number;
  /** Ports of one source, destination and decision that get a flow each; beyond, one flow counts them: a port scan. */
  readonly ports: Readonly<Record<Flow["verdict"], number>>;
  /** Flows of one own end and decision; beyond, the other ends are summed up: an address scan, a crowd of clients. */
  readonly peers: number;
}

export const aggregateLimits: AggregateLimits = { flows: 8192, ports: { allow: 64, deny: 16 }, peers: 512 };

interface Bucket {
  readonly kind: FlowKind;
  since: number;
  until: number;
  count: number;
  ended: FlowTotals | undefined;
  /** A bit for each port seen, where the flow stands for many. */
  readonly ports: Uint8Array | undefined;
}

/**
 * Sums up what is alike, in windows: a retried connection is one line a minute instead of thousands, and a scan of all ports of all pods
 * takes bounded memory. What has not been seen in the last window is told at once (`fresh`), the rest when the window ends (`turn`).
 */
export class FlowAggregator {
  readonly #names: FlowNames;
  readonly #limits: AggregateLimits;
  #buckets = new Map<string, Bucket>();
  #fresh: Bucket[] = [];
  /** Keys of the window before. */
  #known: ReadonlySet<string> = new Set();
  /** Of this window: flows with a port each by pair of ends, flows by own end, flows of many peers by own end. */
  #pairs = new Map<string, number>();
  #owners = new Map<string, number>();
  #crowds = new Map<string, number>();
  #dropped = 0;

  constructor(names: FlowNames, limits: AggregateLimits = aggregateLimits) {
    this.#names = names;
    this.#limits = limits;
  }

  /** Sightings that found no room in their window. */
  get dropped(): number {
    return this.#dropped;
  }
  /** Flows of the window so far. */
  get size(): number {
    return this.#buckets.size;
  }

  /** @returns what it was counted as; undefined when it was not. */
  add(sighting: Sighting): FlowKind | undefined {
    const bucket = this.#bucketFor(sighting);
    if (bucket === undefined) {
      this.#dropped++;
      return undefined;
    }
    const { time, port } = sighting;
    if (bucket.count === 0 && bucket.ended === undefined) bucket.since = time;
    bucket.until = Math.max(bucket.until, time);
    bucket.count++;
    if (bucket.ports !== undefined && port !== undefined) setBit(bucket.ports, port);
    return bucket.kind;
  }

  /** A connection of that kind has ended. */
  end(kind: FlowKind, totals: FlowTotals, time: number): void {
    const bucket = this.#buckets.get(kind.key) ?? this.#open(kind, false);
    if (bucket === undefined) {
      this.#dropped++;
      return;
    }
    if (bucket.count === 0 && bucket.ended === undefined) bucket.since = time;
    bucket.until = Math.max(bucket.until, time);
    bucket.ended = sum(bucket.ended, totals);
  }

  /** Flows that began since the last call and were not there in the window before. */
  fresh(): FlowDraft[] {
    const drafts = this.#fresh.flatMap(take);
    this.#fresh = [];
    return drafts;
  }

  /** Everything that has not been told; the next window begins. */
  turn(): FlowDraft[] {
    const drafts = [...this.#buckets.values()].flatMap(take);
    this.#known = new Set(this.#buckets.keys());
    this.#buckets = new Map();
    this.#fresh = [];
    this.#pairs = new Map();
    this.#owners = new Map();
    this.#crowds = new Map();
    return drafts;
  }

  /** Each of its own as long as there are few; then without ports; then without the other end; then without both. */
  #bucketFor(sighting: Sighting): Bucket | undefined {
    const { verdict, protocol, source, destination, port, icmp, service, egress, ingress, obstacle } = sighting;
    const decided = `${verdict} ${egress} ${ingress} ${obstacle ?? ""} ${protocol}`;
    const pair = `${decided} ${source} ${destination}`;
    const exact = `${pair} ${port ?? (icmp === undefined ? "" : `${icmp.type}.${icmp.code}`)} ${service?.address ?? ""} ${service?.port ?? ""}`;
    const found = this.#buckets.get(exact);
    if (found !== undefined) return found;

    const { peers } = this.#limits;
    const ports = this.#limits.ports[verdict];
    // Whose own end it is when none decided does not matter here: the crowd is bounded from either side.
    const isSource = ingress === 0 || egress !== 0;
    const owner = `${decided} ${isSource ? `${source} >` : `> ${destination}`}`;
    if (count(this.#owners, owner) < peers) {
      if (port === undefined || count(this.#pairs, pair) < ports)
        return this.#create(exact, sighting, [this.#owners, owner], [this.#pairs, pair]);
      return this.#buckets.get(`${pair} *`) ?? this.#create(`${pair} *`, withoutPort(sighting), [this.#owners, owner]);
    }
    const own = isSource ? "source" : "destination";
    const crowd = `${owner} ${port ?? ""}`;
    const crowded = this.#buckets.get(crowd);
    if (crowded !== undefined) return crowded;
    if (port !== undefined && count(this.#crowds, owner) < ports) {
      return this.#create(crowd, { ...sighting, service: undefined }, [this.#crowds, owner], undefined, own);
    }
    const all = `${owner} *`;
    return this.#buckets.get(all) ?? this.#create(all, withoutPort(sighting), undefined, undefined, own);
  }

  #create(
    key: string,
    { verdict, protocol, source, destination, port, icmp, service, egress, ingress, obstacle }: Unported,
    first?: Counter,
    second?: Counter,
    alone?: "source" | "destination",
  ): Bucket | undefined {
    const kind: FlowKind = {
      key,
      verdict,
      protocol,
      source: alone === "destination" ? { kind: "many" } : this.#names.end(source),
      destination: alone === "source" ? { kind: "many" } : this.#names.end(destination),
      ...(port === undefined ? {} : { port }),
      ...(icmp === undefined || alone !== undefined ? {} : { icmp }),
      ...(service === undefined ? {} : { service }),
      ...(egress === 0 ? {} : { egress: this.#names.reason(egress) }),
      ...(ingress === 0 ? {} : { ingress: this.#names.reason(ingress) }),
      ...(obstacle === undefined ? {} : { obstacle }),
    };
    const bucket = this.#open(kind, true);
    if (bucket === undefined) return undefined;
    for (const counter of [first, second]) {
      if (counter !== undefined) counter[0].set(counter[1], count(...counter) + 1);
    }
    return bucket;
  }

  #open(kind: FlowKind, began: boolean): Bucket | undefined {
    if (this.#buckets.size >= this.#limits.flows) return undefined;
    const ports = kind.key.endsWith("*") ? new Uint8Array(65_536 / 8) : undefined;
    const bucket: Bucket = { kind, since: 0, until: 0, count: 0, ended: undefined, ports };
    this.#buckets.set(kind.key, bucket);
    if (began && !this.#known.has(kind.key)) this.#fresh.push(bucket);
    return bucket;
  }
}

type Counter = readonly [Map<string, number>, string];
type Unported = Omit<Sighting, "service" | "port"> & {
  readonly service?: Sighting["service"] | undefined;
  readonly port?: number | undefined;
};

const count = (counts: Map<string, number>, key: string): number => counts.get(key) ?? 0;
const withoutPort = (sighting: Sighting): Unported => ({ ...sighting, port: undefined, service: undefined });

/** What the bucket has not told yet; it is empty then. */
function take(bucket: Bucket): FlowDraft[] {
  if (bucket.count === 0 && bucket.ended === undefined) return [];
  const { key: _, ...kind } = bucket.kind;
  const { since, until, count: seen, ended, ports } = bucket;
  bucket.count = 0;
  bucket.ended = undefined;
  const several = ports === undefined ? 0 : bitsIn(ports);
  ports?.fill(0);
  return [
    {
      ...kind,
      since,
      until,
      ...(several === 0 ? {} : { ports: several }),
      count: seen,
      ...(ended === undefined ? {} : { ended }),
    },
  ];
}

const sum = (a: FlowTotals | undefined, b: FlowTotals): FlowTotals =>
  a === undefined
    ? b
    : {
        connections: a.connections + b.connections,
        packets: a.packets + b.packets,
        bytes: a.bytes + b.bytes,
        seconds: a.seconds + b.seconds,
      };

function setBit(bits: Uint8Array, at: number): void {
  bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
}

function bitsIn(bits: Uint8Array): number {
  let found = 0;
  for (let byte of bits) for (; byte !== 0; byte &= byte - 1) found++;
  return found;
}
