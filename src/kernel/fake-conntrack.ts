import type { Connection, ConnectionTuple } from "../objects/conntrack.ts";
import type { ConnectionFilter, Conntrack, ConntrackCounters, LabelChange, LabelOutcome } from "./conntrack.ts";

/** Connection tracking in memory. */
export class FakeConntrack implements Conntrack {
  /** What is tracked: tests add to it. */
  readonly table: Connection[] = [];
  #dumps = 0;
  #deleted = 0;
  #labelled = 0;

  get counters(): ConntrackCounters {
    return { dumps: this.#dumps, deleted: this.#deleted, labelled: this.#labelled };
  }

  connections({ family, mark }: ConnectionFilter = {}): Connection[] {
    this.#dumps++;
    return this.table.filter(
      (connection) =>
        (family ?? connection.family) === connection.family &&
        (mark === undefined || ((connection.mark ?? 0) & mark.mask) === mark.value),
    );
  }

  connection(original: ConnectionTuple, zone?: number): Connection | undefined {
    return this.table.find((found) => found.zone === zone && Bun.deepEquals(found.original, original));
  }

  delete(connection: Pick<Connection, "original" | "zone" | "id">): boolean {
    const at = this.table.findIndex(
      (found) =>
        found.zone === connection.zone &&
        (connection.id ?? found.id) === found.id &&
        Bun.deepEquals(found.original, connection.original),
    );
    if (at < 0) return false;
    this.table.splice(at, 1);
    this.#deleted++;
    return true;
  }

  deleteWhere(matches: (connection: Connection) => boolean, filter?: ConnectionFilter): number {
    return this.connections(filter)
      .filter(matches)
      .filter((connection) => this.delete(connection)).length;
  }

  setLabels(changes: readonly LabelChange[]): LabelOutcome[] {
    return changes.map(({ connection: { original, zone }, value, mask }) => {
      const at = this.table.findIndex((found) => found.zone === zone && Bun.deepEquals(found.original, original));
      const found = this.table[at];
      if (found === undefined) return "gone";
      if (found.labels === undefined) return "no-room";
      const labels = found.labels.map(
        (word, index) => ((word & ~(mask[index] ?? 0)) | ((value[index] ?? 0) & (mask[index] ?? 0))) >>> 0,
      );
      this.table[at] = { ...found, labels };
      this.#labelled++;
      return "set";
    });
  }

  close(): void {}
}
