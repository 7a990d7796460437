import type { Decision } from "../../model/policy-state.ts";
import { decide, type Facts } from "./decide.ts";
import { otherTraffic, type PortCell, portCells } from "./port-classes.ts";
import type { Program } from "./program.ts";

/** What a group decides: its ports' cells, and for each class the decisions that are not said already. */
export class GroupTable {
  readonly programs: readonly Program[];
  readonly cells: readonly PortCell[];
  readonly #outside: readonly Facts[] = [new Map()];
  readonly #base: readonly Decision[];

  constructor(programs: readonly Program[]) {
    this.programs = programs;
    this.cells = portCells(programs);
    this.#base = this.#decisions(this.#outside);
  }

  /** Class 0's rows: what stands for all classes unless they say otherwise. */
  baseRows(): readonly GroupRow[] {
    const [other, ...named] = this.#base;
    if (other === undefined) return [];
    return [{ cell: undefined, decision: other }, ...this.#differing(named, () => other)];
  }

  /**
   * A class's rows: what differs from class 0's. If all that no rule names differs, one row says so, and stands for all
   * cells that have none.
   */
  rowsOf(peers: readonly Facts[]): readonly GroupRow[] {
    const [other, ...named] = this.#decisions(peers);
    const [baseOther, ...baseNamed] = this.#base;
    if (other === undefined || baseOther === undefined) return [];
    if (same(other, baseOther)) return this.#differing(named, (index) => baseNamed[index] ?? baseOther);
    return [{ cell: undefined, decision: other }, ...this.#differing(named, () => other)];
  }

  #decisions(peers: readonly Facts[]): readonly Decision[] {
    return [otherTraffic, ...this.cells.map(({ point }) => point)].map((point) => decide(this.programs, peers, point));
  }

  #differing(named: readonly Decision[], from: (index: number) => Decision): readonly GroupRow[] {
    return this.cells.flatMap((cell, index) => {
      const decision = named[index];
      return decision === undefined || same(decision, from(index)) ? [] : [{ cell, decision }];
    });
  }
}

export interface GroupRow {
  /** Undefined: all traffic that has no row (protocol 0, port class 0). */
  readonly cell: PortCell | undefined;
  readonly decision: Decision;
}

/** Steps bear their reasons, so equal reasons of one program are one object; `log` and verdict follow from the path. */
const same = (a: Decision, b: Decision): boolean =>
  a.verdict === b.verdict && a.log === b.log && (a.reason === b.reason || JSON.stringify(a) === JSON.stringify(b));
