import type { Kind } from "../datastore.ts";
import { type BootTime, leaseTimeAt, OBSERVATION_INTERVAL } from "./lease-clock.ts";
import type { HistoryLimits, ObjectRow, StoreState, Tables } from "./tables.ts";

/** How many revisions pass between two looks at the history. */
const COMPACTION_INTERVAL = 512;

/**
 * One write transaction, which holds the file's write lock from begin to end: numbers revisions, records history, and
 * on the way expires whatever is due, so that exactly one process does, and no write ever sees an expired object.
 */
export class Transaction {
  readonly #tables: Tables;
  readonly #limits: HistoryLimits;
  readonly #before: StoreState;
  /** Lease time of this transaction. */
  readonly #now: number;
  readonly #boot: BootTime;
  #revision: number;
  #compacted: number;
  #touched = false;

  constructor(tables: Tables, limits: HistoryLimits, boot: BootTime) {
    this.#tables = tables;
    this.#limits = limits;
    const before = tables.state();
    this.#before = before;
    this.#boot = boot;
    this.#now = leaseTimeAt(before, boot);
    this.#revision = before.revision;
    this.#compacted = before.compacted;
    this.#expire();
  }

  get state(): StoreState {
    return {
      incarnation: this.#before.incarnation,
      revision: this.#revision,
      compacted: this.#compacted,
      leaseTime: this.#now,
      bootId: this.#boot.id,
      bootTime: this.#boot.milliseconds,
    };
  }

  /** Whether watchers have something to see. */
  get visible(): boolean {
    return this.#revision !== this.#before.revision;
  }

  object(kind: Kind, name: string): ObjectRow | undefined {
    return this.#tables.object(kind, name);
  }

  put(kind: Kind, name: string, value: Uint8Array, ttlSeconds: number | undefined): ObjectRow {
    const row = { name, revision: ++this.#revision, value, expires: this.#expiry(ttlSeconds) };
    this.#tables.putObject(kind, row);
    this.#tables.record(kind, { ...row, type: "put" }, this.#now);
    return row;
  }

  remove(kind: Kind, name: string, type: "delete" | "expire" = "delete"): void {
    this.#tables.deleteObject(kind, name);
    this.#tables.record(kind, { name, revision: ++this.#revision, value: null, expires: null, type }, this.#now);
  }

  renew(kind: Kind, name: string, ttlSeconds: number): void {
    this.#tables.setExpiry(kind, name, this.#now + Math.ceil(ttlSeconds * 1000));
    this.#touched = true;
  }

  /** Writes down that lease time went on, if that was long ago. */
  observe(): void {
    if (isObservationDue(this.#before, this.#boot)) this.#touched = true;
  }

  /** Forgets history beyond the limits. @returns the last revision forgotten by now. */
  compact(limits: HistoryLimits = this.#limits): number {
    const last = this.#tables.historyBeyond(limits, this.#now);
    if (last > this.#compacted) {
      this.#tables.forgetHistory(last);
      this.#compacted = last;
      this.#touched = true;
    }
    return this.#compacted;
  }

  /** Completes the bookkeeping. @returns whether anything is to be committed. */
  finish(): boolean {
    const interval = (revision: number) => Math.floor(revision / COMPACTION_INTERVAL);
    if (interval(this.#revision) !== interval(this.#before.revision)) this.compact();
    if (!this.visible && !this.#touched) return false;
    this.#tables.saveState(this.state);
    return true;
  }

  #expire(): void {
    for (const { kind, name } of this.#tables.expired(this.#now)) this.remove(kind, name, "expire");
  }

  #expiry(ttlSeconds: number | undefined): number | null {
    return ttlSeconds === undefined ? null : this.#now + Math.ceil(ttlSeconds * 1000);
  }
}

export function isObservationDue(last: StoreState, boot: BootTime): boolean {
  return last.bootId !== boot.id || boot.milliseconds - last.bootTime >= OBSERVATION_INTERVAL;
}
