import type { Decision } from "../../model/policy-state.ts";
import type { Facts } from "./decide.ts";
import { Decider } from "./decider.ts";
import type { FactKey } from "./fact.ts";
import { otherTraffic, type PortCell, portCells } from "./port-classes.ts";
import type { Program } from "./program.ts";
import type { Truth } from "./truth.ts";

/**
 * What a group decides: its ports' cells, and for each class the decisions that are not said already. A pure function of the group's
 * programs; of a class, only the facts count that these ask for, so classes that agree in them share their rows.
 */
export class GroupTable {
  readonly cells: readonly PortCell[];
  readonly #deciders: readonly Decider[];
  readonly #base: readonly Decision[];
  readonly #facts: ReadonlySet<FactKey>;
  readonly #rows = new Map<string, ClassRows>();

  constructor(programs: readonly Program[]) {
    this.#facts = new Set(programs.flatMap(({ facts }) => [...facts.keys()]));
    this.cells = portCells(programs);
    const points = [otherTraffic, ...this.cells.map(({ point }) => point)];
    this.#deciders = programs.map((program) => new Decider(program, points));
    this.#base = this.#decisions([new Map()]);
  }

  /** Class 0's rows: what stands for all classes unless they say otherwise. */
  baseRows(): readonly GroupRow[] {
    const [other, ...named] = this.#base;
    if (other === undefined) return [];
    return [{ cell: undefined, decision: other }, ...this.#differing(named, () => other)];
  }

  rowsOf(peers: readonly Facts[]): ClassRows {
    const restricted = new Map(peers.map((facts) => this.#restricted(facts)));
    const key = [...restricted.keys()].join("|");
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const made = { key, rows: this.#rowsOf([...restricted.values()]) };
    this.#rows.set(key, made);
    return made;
  }

  /**
   * What differs from class 0's. If all that no rule names differs, one row says so, and stands for all cells that have none.
   */
  #rowsOf(peers: readonly Facts[]): readonly GroupRow[] {
    const [other, ...named] = this.#decisions(peers);
    const [baseOther, ...baseNamed] = this.#base;
    if (other === undefined || baseOther === undefined) return [];
    if (same(other, baseOther)) return this.#differing(named, (index) => baseNamed[index] ?? baseOther);
    return [{ cell: undefined, decision: other }, ...this.#differing(named, () => other)];
  }

  #restricted(facts: Facts): readonly [string, Facts] {
    const held = new Map<FactKey, Truth>();
    let key = "";
    for (const [fact, truth] of facts) {
      if (!this.#facts.has(fact)) continue;
      held.set(fact, truth);
      key += `${truth}${fact}\n`;
    }
    return [key, held];
  }

  /** Where several claim an address: what any of them is denied. For all other traffic first, then by cell. */
  #decisions(peers: readonly Facts[]): readonly Decision[] {
    const [first = [], ...others] = this.#deciders.flatMap((decider) => peers.map((facts) => decider.decide(facts)));
    if (others.length === 0) return first;
    return first.map((decision, index) => {
      const denying = [decision, ...others.flatMap((of) => of[index] ?? [])].find(({ verdict }) => verdict === "deny");
      return denying ?? decision;
    });
  }

  #differing(named: readonly Decision[], from: (index: number) => Decision): readonly GroupRow[] {
    return this.cells.flatMap((cell, index) => {
      const decision = named[index];
      return decision === undefined || same(decision, from(index)) ? [] : [{ cell, decision }];
    });
  }
}

export interface ClassRows {
  /** Equal keys, equal rows. */
  readonly key: string;
  readonly rows: readonly GroupRow[];
}

export interface GroupRow {
  /** Undefined: all traffic that has no row (protocol 0, port class 0). */
  readonly cell: PortCell | undefined;
  readonly decision: Decision;
}

/** Steps bear their reasons, so equal reasons of one program are one object. */
const same = (a: Decision, b: Decision): boolean =>
  a.verdict === b.verdict &&
  a.log === b.log &&
  (a.reason === b.reason || JSON.stringify(a.reason) === JSON.stringify(b.reason));
