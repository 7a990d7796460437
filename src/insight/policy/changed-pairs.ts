import { addBit, type Bits, bitsKey, eachBit, emptyBits } from "./bits.ts";
import type { ReachChange } from "./diff.ts";
import type { EndChange } from "./end-reach.ts";
import { intersect, isEqual, subtract, type Traffic } from "./traffic.ts";
import type { Kind, Universe } from "./universe.ts";

interface Change {
  readonly gained: Traffic;
  readonly lost: Traffic;
  /** By index of the source. */
  readonly rows: Map<number, Bits>;
  /** Kinds of one pod, which would have it towards itself, if policy were asked: said or not, as it reads better. */
  readonly itself: Set<number>;
}

/** Collects pairs of kinds by what changes between them. */
export class ChangedPairs {
  readonly #universe: Universe;
  /** By the numbers of both ends' changes; undefined: nothing comes of them. */
  readonly #changes = new Map<number, Change | undefined>();
  readonly #byContent = new Map<string, Change>();
  readonly #meeting: Meeting;

  constructor(universe: Universe) {
    this.#universe = universe;
    this.#meeting = new Meeting(universe);
  }

  note(source: Kind, destination: Kind, egress: EndChange, ingress: EndChange): void {
    const change = this.#changeOf(egress, ingress);
    if (change === undefined) return;
    if (!this.#meeting.possible(source, destination)) {
      if (source === destination) change.itself.add(source.index);
      return;
    }
    let row = change.rows.get(source.index);
    if (row === undefined) {
      row = emptyBits(this.#universe.kinds.length);
      change.rows.set(source.index, row);
    }
    addBit(row, destination.index);
  }

  #changeOf(egress: EndChange, ingress: EndChange): Change | undefined {
    const key = egress.number * 2 ** 26 + ingress.number;
    const known = this.#changes.get(key);
    if (known !== undefined || this.#changes.has(key)) return known;
    const [was, is] = [intersect(egress.before, ingress.before), intersect(egress.after, ingress.after)];
    const [gained, lost] = [subtract(is, was), subtract(was, is)];
    const content = `${gained}|${lost}`;
    const change = isEqual(was, is)
      ? undefined
      : (this.#byContent.get(content) ?? { gained, lost, rows: new Map(), itself: new Set() });
    if (change !== undefined) this.#byContent.set(content, change);
    this.#changes.set(key, change);
    return change;
  }

  /** Sources with the same destinations together, or the other way round, whichever are fewer. */
  rectangles(): readonly ReachChange[] {
    return [...this.#byContent.values()].flatMap(({ gained, lost, rows, itself }) => {
      const [bySource, byDestination] = [this.#fold(rows, itself), this.#fold(this.#transposed(rows), itself)];
      const found =
        bySource.length <= byDestination.length
          ? bySource
          : byDestination.map(({ sources, destinations }) => ({ sources: destinations, destinations: sources }));
      return found.map((rectangle) => ({ ...rectangle, gained, lost }));
    });
  }

  #fold(rows: ReadonlyMap<number, Bits>, itself: ReadonlySet<number>): Pick<ReachChange, "sources" | "destinations">[] {
    const size = this.#universe.kinds.length;
    const alike = Map.groupBy(rows, ([source, destinations]) => bitsKey(withSelf(source, destinations, itself)));
    return [...alike.values()].flatMap((group) => {
      const [first] = group;
      if (first === undefined) return [];
      const sources = emptyBits(size);
      for (const [source] of group) addBit(sources, source);
      // "every pod of a namespace towards every pod of it" says less wrong than a line for each that leaves itself out.
      return [{ sources, destinations: group.length === 1 ? first[1] : withSelf(...first, itself) }];
    });
  }

  #transposed(rows: ReadonlyMap<number, Bits>): ReadonlyMap<number, Bits> {
    const columns = new Map<number, Bits>();
    for (const [source, destinations] of rows) {
      eachBit(destinations, (destination) => {
        const column = columns.get(destination) ?? emptyBits(this.#universe.kinds.length);
        columns.set(destination, column);
        addBit(column, source);
      });
    }
    return columns;
  }
}

function withSelf(source: number, destinations: Bits, itself: ReadonlySet<number>): Bits {
  if (!itself.has(source)) return destinations;
  const more = destinations.slice();
  addBit(more, source);
  return more;
}

/** Whether two kinds have members that can talk at all: not a pod with itself, a node with its own pods only as their own. */
class Meeting {
  readonly #universe: Universe;
  readonly #nodesOf = new Map<Kind, ReadonlySet<string>>();

  constructor(universe: Universe) {
    this.#universe = universe;
  }

  possible(source: Kind, destination: Kind): boolean {
    if (source === destination) return source.who.of === "workloads" && new Set(source.who.members).size > 1;
    if (source.who.of === "workloads" && destination.who.of === "workloads") return !sameSinglePod(source, destination);
    const [pods, others] = source.who.of === "workloads" ? [source, destination] : [destination, source];
    if (pods.who.of !== "workloads" || others.who.of !== "nodes") return pods.who.of === "workloads";
    const nodes = this.#nodes(pods);
    if (others.who.own) return others.who.members.some((node) => nodes.has(node));
    const [only] = new Set(others.who.members);
    return !(nodes.size === 1 && only !== undefined && nodes.has(only) && new Set(others.who.members).size === 1);
  }

  /** "" for pods that have none yet. */
  #nodes(kind: Kind): ReadonlySet<string> {
    const known = this.#nodesOf.get(kind);
    if (known !== undefined) return known;
    const [model] = this.#universe.models;
    const members = kind.who.of === "workloads" ? kind.who.members : [];
    const nodes = new Set(members.map((name) => model?.endpoints.get(name)?.node ?? ""));
    this.#nodesOf.set(kind, nodes);
    return nodes;
  }
}

/** One pod's two addresses. */
function sameSinglePod(a: Kind, b: Kind): boolean {
  const members = [a, b].flatMap(({ who }) => (who.of === "workloads" ? who.members : []));
  return new Set(members).size === 1;
}
