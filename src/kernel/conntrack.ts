import type { Family } from "../base/address.ts";
import type { Connection, ConnectionTuple } from "../objects/conntrack.ts";
import type { ConnectionMark } from "../wire/conntrack/connection.ts";

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
  readonly counters: ConntrackCounters;
  close(): void;
}

/** Applied by the kernel. */
export interface ConnectionFilter {
  readonly family?: Family;
  readonly mark?: ConnectionMark;
}

export interface ConntrackCounters {
  readonly dumps: number;
  readonly deleted: number;
}
