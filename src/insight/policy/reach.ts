import { decideOne, type Facts, type Point } from "../../compile/policy/decide.ts";
import { isNeighbourDiscovery } from "../../compile/policy/flow.ts";
import { type Program, type ProgramContext, programFor, type StepPorts } from "../../compile/policy/program.ts";
import { maybe, no, yes } from "../../compile/policy/truth.ts";
import { type Direction, type NamedPort, neighbourDiscovery, type PolicyModel, protocols } from "../../model/policy.ts";
import { PolicyIndex } from "./applied.ts";
import { type Bits, bitsAnd, bitsMinus, bitsOr, hasBit, isEmpty } from "./bits.ts";
import { Predicates } from "./predicates.ts";
import { allTraffic, noTraffic, portOf, portRange, protocolOf, type Traffic, wholeProtocol } from "./traffic.ts";
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
  readonly predicates: Predicates;
  readonly #policies: PolicyIndex;
  readonly #byProgram = new Map<string, Reach>();
  readonly #ofFamily: Readonly<Record<4 | 6, Bits>>;
  readonly #context: ProgramContext;

  constructor(universe: Universe, model: PolicyModel) {
    this.predicates = new Predicates(universe, model);
    this.#policies = new PolicyIndex(model);
    const ofFamily = (family: 4 | 6): Bits => this.predicates.where((kind) => kind.family === family);
    this.#ofFamily = { 4: ofFamily(4), 6: ofFamily(6) };
    const ports = portsByName(model);
    this.#context = {
      tiers: model.tiers,
      peerPorts: (name) => ports.get(name) ?? [],
      allowUnknown: false,
    };
  }

  /** @param kind of pods. One object for all kinds that are judged alike. */
  reach(kind: Kind, direction: Direction): Reach {
    const program = this.program(kind, direction);
    const key = `${kind.family} ${program?.key ?? `${direction} open`}`;
    const known = this.#byProgram.get(key);
    if (known !== undefined) return known;
    const everybody = this.#ofFamily[kind.family];
    const reach =
      program === undefined ? [{ peers: everybody, traffic: allTraffic }] : this.#evaluate(program, everybody);
    this.#byProgram.set(key, reach);
    return reach;
  }

  /** What judges a pod of that kind. Undefined: nothing does. */
  program(kind: Kind, direction: Direction): Program | undefined {
    const endpoint = this.predicates.workload(kind);
    if (endpoint === undefined || kind.who.of !== "workloads") throw new RangeError("only pods have policies");
    const claim = this.predicates.claim(kind);
    if (claim === undefined || "own" in claim) throw new RangeError("a pod's claim is an endpoint's");
    const subject = { claim, place: kind.who.address, family: kind.family };
    return programFor(subject, this.#policies.selecting(endpoint), direction, this.#context);
  }

  /** Everything that the program can tell apart, of peers and of traffic, one of each. */
  *situations(program: Program, family: Kind["family"]): Iterable<{ readonly facts: Facts; readonly point: Point }> {
    const cells = cellsOf(program);
    for (const { facts } of this.#classes(program, this.#ofFamily[family])) {
      for (const { from } of cells) yield { facts, point: { protocol: protocolOf(from), port: portOf(from) } };
    }
  }

  /** All peers of whom the program's facts are equally true are judged once, by the compiler's own decision. */
  #evaluate(program: Program, everybody: Bits): Reach {
    const ownNode = this.predicates.matched({ ownNode: true }).surely;
    // The node always reaches its own pods, whatever the policies say.
    const judged = program.direction === "ingress" ? bitsMinus(everybody, ownNode) : everybody;
    const always = { peers: bitsMinus(everybody, judged), traffic: allTraffic };
    const cells = cellsOf(program);
    const parts = this.#classes(program, judged).map(({ peers, facts }) => ({
      peers,
      traffic: joined(
        cells.filter(({ from }) => {
          const point = { protocol: protocolOf(from), port: portOf(from) };
          return isNeighbourDiscovery(point) || decideOne(program, facts, point).verdict === "allow";
        }),
      ),
    }));
    return byTraffic(isEmpty(always.peers) ? parts : [always, ...parts]);
  }

  #classes(program: Program, peers: Bits): readonly PeerClass[] {
    let classes: readonly PeerClass[] = [{ peers, facts: new Map() }];
    for (const [key, fact] of program.facts) {
      const { surely, perhaps } = this.predicates.matched(fact);
      classes = classes.flatMap(({ peers: all, facts }) => {
        const likely = bitsAnd(all, perhaps);
        if (isEmpty(likely)) return [{ peers: all, facts: new Map(facts).set(key, no) }];
        const sure = bitsAnd(likely, surely);
        const split = [
          { peers: sure, facts: new Map(facts).set(key, yes) },
          { peers: bitsMinus(likely, sure), facts: new Map(facts).set(key, maybe) },
          { peers: bitsMinus(all, likely), facts: new Map(facts).set(key, no) },
        ];
        return split.filter((part) => !isEmpty(part.peers));
      });
    }
    return classes;
  }
}

interface PeerClass {
  readonly peers: Bits;
  readonly facts: Facts;
}

function portsByName({ endpoints }: PolicyModel): ReadonlyMap<string, readonly NamedPort[]> {
  const distinct = new Map<string, NamedPort>();
  for (const { ports } of endpoints.values())
    for (const port of ports) distinct.set(`${port.name} ${port.protocol} ${port.port}`, port);
  return Map.groupBy(distinct.values(), ({ name }) => name);
}

interface Cell {
  readonly from: number;
  readonly to: number;
}

/** Traffic cut wherever a step may begin or cease to match. */
function cellsOf({ steps }: Program): readonly Cell[] {
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

/** Cells are ascending and disjoint. */
function joined(cells: readonly Cell[]): Traffic {
  const boundaries: number[] = [];
  for (const { from, to } of cells) {
    if (boundaries.at(-1) === from) boundaries.pop();
    else boundaries.push(from);
    boundaries.push(to);
  }
  return boundaries;
}

/** Peers with the same traffic together. */
function byTraffic(parts: readonly ReachPart[]): Reach {
  const found = new Map<string, ReachPart>();
  for (const { peers, traffic } of parts) {
    if (traffic.length === 0) continue;
    const key = traffic.join();
    const same = found.get(key);
    found.set(key, { traffic, peers: same === undefined ? peers : bitsOr(same.peers, peers) });
  }
  return [...found.values()];
}
