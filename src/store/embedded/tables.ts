import type { Database } from "bun:sqlite";
import type { Kind } from "../datastore.ts";
import type { LeaseReading } from "./lease-clock.ts";

/** The one row of `store`. */
export interface StoreState extends LeaseReading {
  readonly incarnation: string;
  readonly revision: number;
  readonly compacted: number;
}

export interface ObjectRow {
  readonly name: string;
  readonly revision: number;
  readonly value: Uint8Array;
  readonly expires: number | null;
}

export interface HistoryRow {
  readonly revision: number;
  readonly name: string;
  readonly type: "put" | "delete" | "expire";
  readonly value: Uint8Array | null;
  readonly expires: number | null;
}

export interface HistoryLimits {
  /** How many events are kept, */
  readonly events: number;
  /** of how many bytes of values in all, */
  readonly bytes: number;
  /** for how many milliseconds of lease time. What goes beyond any of the three is forgotten. */
  readonly age: number;
}

/** The SQL of the datastore, statement by statement, without any policy. Statements are prepared once (Database.query). */
export class Tables {
  readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  begin(mode: "read" | "write"): void {
    this.database.query(mode === "write" ? "BEGIN IMMEDIATE" : "BEGIN").run();
  }

  commit(): void {
    this.database.query("COMMIT").run();
  }

  /** SQLite has done it already after some failures of the file. */
  rollback(): void {
    if (this.database.inTransaction) this.database.query("ROLLBACK").run();
  }

  state(): StoreState {
    const row = this.database
      .query<StoreState, []>(
        `SELECT incarnation, revision, compacted, lease_time AS leaseTime, boot_id AS bootId, boot_time AS bootTime
         FROM store`,
      )
      .get();
    // The row is written with the layout, in one transaction: without it the file was damaged or edited.
    if (row === null) throw Object.assign(new Error("the table `store` is empty"), { code: "SQLITE_CORRUPT" });
    return row;
  }

  saveState(state: StoreState): void {
    this.database
      .query("UPDATE store SET revision = ?, compacted = ?, lease_time = ?, boot_id = ?, boot_time = ?")
      .run(state.revision, state.compacted, state.leaseTime, state.bootId, state.bootTime);
  }

  objects(kind: Kind): ObjectRow[] {
    return this.database
      .query<ObjectRow, [string]>("SELECT name, revision, value, expires FROM object WHERE kind = ? ORDER BY name")
      .all(kind);
  }

  object(kind: Kind, name: string): ObjectRow | undefined {
    return (
      this.database
        .query<ObjectRow, [string, string]>(
          "SELECT name, revision, value, expires FROM object WHERE kind = ? AND name = ?",
        )
        .get(kind, name) ?? undefined
    );
  }

  putObject(kind: Kind, row: ObjectRow): void {
    this.database
      .query(
        `INSERT INTO object (kind, name, revision, value, expires) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, name) DO UPDATE
         SET revision = excluded.revision, value = excluded.value, expires = excluded.expires`,
      )
      .run(kind, row.name, row.revision, row.value, row.expires);
  }

  deleteObject(kind: Kind, name: string): void {
    this.database.query("DELETE FROM object WHERE kind = ? AND name = ?").run(kind, name);
  }

  setExpiry(kind: Kind, name: string, expires: number): void {
    this.database.query("UPDATE object SET expires = ? WHERE kind = ? AND name = ?").run(expires, kind, name);
  }

  /** Objects whose time is over, the oldest first. */
  expired(leaseTime: number): { readonly kind: Kind; readonly name: string }[] {
    return this.database
      .query<{ kind: Kind; name: string }, [number]>(
        "SELECT kind, name FROM object WHERE expires <= ? ORDER BY expires, kind, name",
      )
      .all(leaseTime);
  }

  /** Lease time at which the next object expires. */
  nextExpiry(): number | undefined {
    return (
      this.database
        .query<{ next: number | null }, []>("SELECT min(expires) AS next FROM object WHERE expires IS NOT NULL")
        .get()?.next ?? undefined
    );
  }

  record(kind: Kind, row: HistoryRow, at: number): void {
    this.database
      .query("INSERT INTO history (revision, kind, name, type, value, expires, at) VALUES (?, ?, ?, ?, ?, ?, ?)")
      .run(row.revision, kind, row.name, row.type, row.value, row.expires, at);
  }

  historyAfter(kind: Kind, revision: number, limit: number): HistoryRow[] {
    return this.database
      .query<HistoryRow, [string, number, number]>(
        `SELECT revision, name, type, value, expires FROM history
         WHERE kind = ? AND revision > ? ORDER BY revision LIMIT ?`,
      )
      .all(kind, revision, limit);
  }

  /** Lease time of the oldest event that is remembered. */
  oldestHistory(): number | undefined {
    return this.database.query<{ at: number }, []>("SELECT at FROM history ORDER BY revision LIMIT 1").get()?.at;
  }

  /** The newest revision that goes beyond the limits, 0 when none does. */
  historyBeyond(limits: HistoryLimits, leaseTime: number): number {
    const row = this.database
      .query<{ last: number | null }, [number, number, number]>(
        `SELECT max(revision) AS last FROM (
           SELECT revision, at, row_number() OVER newest AS events, sum(coalesce(length(value), 0)) OVER newest AS bytes
           FROM history WINDOW newest AS (ORDER BY revision DESC)
         ) WHERE events > ? OR bytes > ? OR at < ?`,
      )
      .get(limits.events, limits.bytes, leaseTime - limits.age);
    return row?.last ?? 0;
  }

  forgetHistory(upTo: number): void {
    this.database.query("DELETE FROM history WHERE revision <= ?").run(upTo);
  }
}
