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
  /** By the numbers of both ends' changes, egress first; null: nothing comes of them. Asked for millions of pairs. */
  readonly #changes: (Change | null)[][] = [];
  readonly #byContent = new Map<string, Change>();
  readonly #meeting: Meeting;

  constructor(universe: Universe) {
    this.#universe = universe;
    this.#meeting = new Meeting(universe);
  }

  note(source: Kind, destination: Kind, egress: EndChange, ingress: EndChange): void {
    const known = this.#changes[egress.number]?.[ingress.number];
    const change = known === undefined ? this.#changeOf(egress, ingress) : known;
    if (change === null) return;
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

  #changeOf(egress: EndChange, ingress: EndChange): Change | null {
    this.#changes[egress.number] ??= [];
    const row = this.#changes[egress.number] ?? [];
    const known = row[ingress.number];
    if (known !== undefined) return known;
    const [was, is] = [intersect(egress.before, ingress.before), intersect(egress.after, ingress.after)];
    const [gained, lost] = [subtract(is, was), subtract(was, is)];
    const content = `${gained}|${lost}`;
    const change = isEqual(was, is)
      ? null
      : (this.#byContent.get(content) ?? { gained, lost, rows: new Map(), itself: new Set() });
    if (change !== null) this.#byContent.set(content, change);
    row[ingress.number] = change;
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
  /** By index: the one member of a kind that has no other. */
  readonly #only: readonly (string | undefined)[];
  readonly #nodesOf = new Map<Kind, ReadonlySet<string>>();

  constructor(universe: Universe) {
    this.#universe = universe;
    this.#only = universe.kinds.map(({ who }) => {
      const [first, ...others] = who.of === "outside" ? [] : new Set(who.members);
      return others.length === 0 ? first : undefined;
    });
  }

  possible(source: Kind, destination: Kind): boolean {
    if (source.who.of === "workloads" && destination.who.of === "workloads") {
      const only = this.#only[source.index];
      return only === undefined || only !== this.#only[destination.index];
    }
    const [pods, others] = source.who.of === "workloads" ? [source, destination] : [destination, source];
    if (others.who.of !== "nodes") return true;
    const nodes = this.#nodes(pods);
    if (others.who.own) return others.who.members.some((node) => nodes.has(node));
    const only = this.#only[others.index];
    return only === undefined || nodes.size > 1 || !nodes.has(only);
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
