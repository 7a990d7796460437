import type { Family } from "../base/address.ts";
import type { Connection, ConnectionTuple } from "../objects/conntrack.ts";
import type { ConnectionMark, LabelWords } from "../wire/conntrack/connection.ts";

/** Connection tracking of one network namespace. Synchronous; implemented by the kernel's socket and by a fake. */
export interface Conntrack {
  connections(filter?: ConnectionFilter): Connection[];
  connection(original: ConnectionTuple, zone?: number): Connection | undefined;
  /** @returns false when it had gone already. Exactly this one: not another that has taken its tuple since it was read. */
  delete(connection: Pick<Connection, "original" | "zone" | "id">): boolean;
  /**
   * Deletes what `matches` picks from the table, one by one: the kernel's own flush took both families before 5.19. @returns how many; those that ended by themselves meanwhile do not count.
   */
  deleteWhere(matches: (connection: Connection) => boolean, filter?: ConnectionFilter): number;
  /**
   * Changes labels, one outcome for each change. A connection that took the tuple of one that has gone since it was read is not told apart
   * (the kernel does not look at the id here): read and set without an await between.
   */
  setLabels(changes: readonly LabelChange[]): LabelOutcome[];
  readonly counters: ConntrackCounters;
  close(): void;
}

/** Bits of `mask` become those of `value`; the others stay. */
export interface LabelChange {
  readonly connection: Pick<Connection, "original" | "zone">;
  readonly value: LabelWords;
  readonly mask: LabelWords;
}

/** "no-room": the connection began before any rule of its namespace asked for labels, and will never have one. */
export type LabelOutcome = "set" | "gone" | "no-room";

/** Applied by the kernel. */
export interface ConnectionFilter {
  readonly family?: Family;
  readonly mark?: ConnectionMark;
}

export interface ConntrackCounters {
  readonly dumps: number;
  readonly deleted: number;
  readonly labelled: number;
}
