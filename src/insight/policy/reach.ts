import type { EndpointClaim } from "../../compile/policy/claim.ts";
import { covers } from "../../compile/policy/decide.ts";
import type { Fact, FactKey } from "../../compile/policy/fact.ts";
import {
  type Program,
  type ProgramContext,
  programFor,
  type Step,
  type StepPorts,
} from "../../compile/policy/program.ts";
import { type Direction, type NamedPort, neighbourDiscovery, type PolicyModel, protocols } from "../../model/policy.ts";
import { PolicyIndex } from "./applied.ts";
import { type Bits, bitsAnd, bitsKey, bitsMinus, bitsOr, emptyBits, hasBit, isEmpty } from "./bits.ts";
import { type Matched, Predicates } from "./predicates.ts";
import { allTraffic, noTraffic, portOf, portRange, protocolOf, type Traffic, unite, wholeProtocol } from "./traffic.ts";
import type { Kind, Universe } from "./universe.ts";

/** What one end lets pass, by who is at the other: disjoint; peers with nothing are left out. */
export type Reach = readonly ReachPart[];
export interface ReachPart {
  readonly peers: Bits;
  readonly traffic: Traffic;
}

export const reachAt = (reach: Reach, peer: Kind): Traffic =>
  reach.find(({ peers }) => hasBit(peers, peer.index))?.traffic ?? noTraffic;

/**
 * Evaluates one model for all peers of an endpoint at once: sets of kinds pass through the steps of the compiler's program as
 * a packet does. The verdict of each end alone; a flow passes when both allow it.
 */
export class Reachability {
  readonly #universe: Universe;
  readonly #model: PolicyModel;
  readonly #predicates: Predicates;
  readonly #policies: PolicyIndex;
  readonly #facts = new Map<FactKey, Fact>();
  readonly #byProgram = new Map<string, Reach>();
  readonly #all: Bits;
  readonly #ofFamily: Readonly<Record<4 | 6, Bits>>;
  readonly #context: ProgramContext;

  constructor(universe: Universe, model: PolicyModel) {
    this.#universe = universe;
    this.#model = model;
    this.#predicates = new Predicates(universe, model);
    this.#policies = new PolicyIndex(model);
    const ofFamily = (family: 4 | 6): Bits => this.#predicates.where((kind) => kind.family === family);
    this.#ofFamily = { 4: ofFamily(4), 6: ofFamily(6) };
    this.#all = bitsOr(this.#ofFamily[4], this.#ofFamily[6]);
    const ports = portsByName(model);
    this.#context = {
      tiers: model.tiers,
      peerPorts: (name) => ports.get(name) ?? [],
      useFact: (key, fact) => void this.#facts.set(key, fact),
      allowUnknown: false,
    };
  }

  /** @param kind of pods. One object for all kinds that are judged alike. */
  reach(kind: Kind, direction: Direction): Reach {
    const program = this.#program(kind, direction);
    const key = `${kind.family} ${program?.key ?? `${direction} open`}`;
    const known = this.#byProgram.get(key);
    if (known !== undefined) return known;
    const everybody = this.#ofFamily[kind.family];
    const reach =
      program === undefined ? [{ peers: everybody, traffic: allTraffic }] : this.#evaluate(program, everybody);
    this.#byProgram.set(key, reach);
    return reach;
  }

  #program(kind: Kind, direction: Direction): Program | undefined {
    const endpoint = this.#predicates.workload(kind);
    if (endpoint === undefined || kind.who.of !== "workloads") throw new RangeError("only pods have policies");
    const namespace = this.#model.namespaces.get(endpoint.namespace);
    const claim: EndpointClaim = {
      namespace: endpoint.namespace,
      known:
        namespace === undefined || endpoint.unknown === true
          ? undefined
          : { ...endpoint, namespaceLabels: namespace.labels },
    };
    const subject = { claim, place: kind.who.address, family: kind.family };
    return programFor(subject, this.#policies.selecting(endpoint), direction, this.#context);
  }

  #evaluate(program: Program, everybody: Bits): Reach {
    const cells = cellsOf(program).map(({ from, to }) => ({
      traffic: [from, to],
      peers: this.#exempt(from) ? everybody : this.#allowed(program, everybody, from),
    }));
    if (program.direction === "egress") return byPeers(cells, everybody);
    // The node always reaches its own pods, whatever the policies say.
    const always = bitsAnd(everybody, this.#predicates.matched({ ownNode: true }).surely);
    return byPeers(
      cells.map(({ traffic, peers }) => ({ traffic, peers: bitsOr(always, peers) })),
      everybody,
    );
  }

  #exempt(point: number): boolean {
    return protocolOf(point) === protocols.icmpv6 && neighbourDiscovery.includes(portOf(point) >> 8);
  }

  /** Who may, of `peers`, at one point of traffic. */
  #allowed({ steps }: Program, peers: Bits, point: number): Bits {
    let allowed = this.#none();
    /** Those that come to a step, by its index: a pass leads behind the ones between. */
    const arriving = new Map<number, Bits>([[0, peers]]);
    const arrive = (index: number, more: Bits): void =>
      void arriving.set(index, bitsOr(arriving.get(index) ?? this.#none(), more));
    for (const [index, step] of steps.entries()) {
      const here = arriving.get(index);
      if (here === undefined || isEmpty(here)) continue;
      const { surely, perhaps } = this.#matched(step, point);
      const matched = bitsAnd(here, surely);
      if (step.action === "allow") allowed = bitsOr(allowed, matched);
      if (step.action === "pass") arrive(step.next, matched);
      // What may be is taken for the worse: it does not allow, and it denies.
      const decided = step.action === "log" ? this.#none() : step.action === "allow" ? surely : perhaps;
      arrive(index + 1, bitsMinus(here, decided));
    }
    return bitsOr(allowed, arriving.get(steps.length) ?? this.#none());
  }

  #matched({ peer, traffic, notTraffic, uncertain }: Step, point: number): Matched {
    const everybody = { surely: this.#all, perhaps: this.#all };
    const who = peer === undefined ? everybody : this.#fact(peer);
    const ports = traffic === undefined ? everybody : this.#anyPorts(traffic, point);
    const others = notTraffic === undefined ? undefined : this.#anyPorts(notTraffic, point);
    const without = (bits: Bits, unwanted: Bits | undefined): Bits =>
      unwanted === undefined ? bits : bitsMinus(bits, unwanted);
    return {
      surely: uncertain ? this.#none() : without(bitsAnd(who.surely, ports.surely), others?.perhaps),
      perhaps: without(bitsAnd(who.perhaps, ports.perhaps), others?.surely),
    };
  }

  #anyPorts(matches: readonly StepPorts[], point: number): Matched {
    const at = { protocol: protocolOf(point), port: portOf(point) };
    let [surely, perhaps] = [this.#none(), this.#none()];
    for (const match of matches) {
      if (!covers(match, at)) continue;
      const found = match.fact === undefined ? { surely: this.#all, perhaps: this.#all } : this.#fact(match.fact);
      [surely, perhaps] = [bitsOr(surely, found.surely), bitsOr(perhaps, found.perhaps)];
    }
    return { surely, perhaps };
  }

  #fact(key: FactKey): Matched {
    const fact = this.#facts.get(key);
    if (fact === undefined) throw new RangeError("a program asks only for facts that it has told of");
    return this.#predicates.matched(fact);
  }

  #none(): Bits {
    return emptyBits(this.#universe.kinds.length);
  }
}

function portsByName({ endpoints }: PolicyModel): ReadonlyMap<string, readonly NamedPort[]> {
  const distinct = new Map<string, NamedPort>();
  for (const { ports } of endpoints.values())
    for (const port of ports) distinct.set(`${port.name} ${port.protocol} ${port.port}`, port);
  return Map.groupBy(distinct.values(), ({ name }) => name);
}

/** Traffic cut wherever a step may begin or cease to match. */
function cellsOf({ steps }: Program): readonly { readonly from: number; readonly to: number }[] {
  const cuts = new Set(allTraffic);
  for (const type of neighbourDiscovery)
    for (const cut of portRange(protocols.icmpv6, type * 256, type * 256 + 255)) cuts.add(cut);
  for (const { traffic = [], notTraffic = [] } of steps)
    for (const match of [...traffic, ...notTraffic]) for (const cut of trafficOf(match)) cuts.add(cut);
  const starts = [...cuts].sort((a, b) => a - b);
  return starts.slice(0, -1).map((from, at) => ({ from, to: starts[at + 1] ?? from }));
}

function trafficOf({ protocol, ports }: StepPorts): Traffic {
  if (protocol === undefined) return allTraffic;
  return ports === undefined ? wholeProtocol(protocol) : portRange(protocol, ports.first, ports.last);
}

/** From "who, at each traffic" to "what, for each who". */
function byPeers(cells: readonly ReachPart[], all: Bits): Reach {
  const distinct = new Map<string, { readonly peers: Bits; traffic: Traffic }>();
  for (const { peers, traffic } of cells) {
    const key = bitsKey(peers);
    const found = distinct.get(key);
    if (found === undefined) distinct.set(key, { peers, traffic });
    else found.traffic = unite(found.traffic, traffic);
  }
  let parts: ReachPart[] = [{ peers: all, traffic: noTraffic }];
  for (const { peers, traffic } of distinct.values()) {
    parts = parts.flatMap((part) => {
      const inside = bitsAnd(part.peers, peers);
      if (isEmpty(inside)) return [part];
      const outside = bitsMinus(part.peers, peers);
      const reached = { peers: inside, traffic: unite(part.traffic, traffic) };
      return isEmpty(outside) ? [reached] : [reached, { ...part, peers: outside }];
    });
  }
  return parts.filter(({ traffic }) => traffic.length > 0);
}
