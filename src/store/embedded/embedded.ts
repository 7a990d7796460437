import { type Clock, systemClock } from "../../base/clock.ts";
import { describeError, TwillError } from "../../base/errors.ts";
import { type Log, silentLog } from "../../base/log.ts";
import { type Random, systemRandom } from "../../base/random.ts";
import type { Datastore, Kind, Listing, Revision, StoredObject, WatchEvent, WriteOptions } from "../datastore.ts";
import { checkKind, checkName, checkTtl, checkWrite } from "../key.ts";
import { type Listener, listen } from "./bell.ts";
import { Connection } from "./connection.ts";
import { type BootClock, leaseTimeAt, systemBootClock } from "./lease-clock.ts";
import { Pulse } from "./pulse.ts";
import { revisionText } from "./revision.ts";
import { type Moment, storedObject } from "./stored.ts";
import type { HistoryLimits, ObjectRow, Tables } from "./tables.ts";
import { isObservationDue, type Transaction } from "./transaction.ts";
import { watch } from "./watch.ts";

export interface EmbeddedOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly bootClock?: BootClock;
  readonly history?: Partial<HistoryLimits>;
  /** How long a locked file is tried for before `unavailable`, milliseconds. */
  readonly lockTimeout?: number;
  /** Whether a missing file is made; by default it is. Else it is `unavailable` until somebody makes it. */
  readonly create?: boolean;
  /** Longest time between two looks at the file that no notice asked for, milliseconds. */
  readonly safetyInterval?: number;
}

/** Enough for an agent to miss a few minutes of a busy cluster, little enough not to be noticed on the disk. */
const defaultLimits: HistoryLimits = { events: 10_000, bytes: 64 * 1024 * 1024, age: 3_600_000 };

export const embeddedCapabilities = { ttl: true, compaction: true } as const;

/** A SQLite file that several processes of one machine share, each through its own store. docs/design/store.md. */
export class EmbeddedDatastore implements Datastore {
  readonly capabilities = embeddedCapabilities;
  readonly #connection: Connection;
  readonly #bootClock: BootClock;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: HistoryLimits;
  readonly #safetyInterval: number;
  readonly #pulse = new Pulse();
  readonly #listener: Listener;
  readonly #closing = new AbortController();
  readonly #keeping: Promise<void>;
  #deaf = false;
  #trouble: string | undefined;

  /**
   * Opens the file, made when it is missing (0600; its directory 0700 when only that is missing too).
   * @throws TwillError naming the file and what to do: `corrupt`, `unsupported` (of a later Twill), `unavailable` (locked), `io`, `denied`.
   */
  static async open(path: string, options: EmbeddedOptions = {}): Promise<EmbeddedDatastore> {
    const limits = { ...defaultLimits, ...options.history };
    const settings = {
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      bootClock: options.bootClock ?? systemBootClock(),
      lockTimeout: options.lockTimeout ?? 5000,
      create: options.create ?? true,
      limits,
    };
    const connection = await Connection.open(path, settings);
    return new EmbeddedDatastore(connection, { ...options, ...settings });
  }

  private constructor(
    connection: Connection,
    options: EmbeddedOptions & { readonly clock: Clock; readonly bootClock: BootClock; readonly limits: HistoryLimits },
  ) {
    this.#connection = connection;
    this.#clock = options.clock;
    this.#bootClock = options.bootClock;
    this.#limits = options.limits;
    this.#log = (options.log ?? silentLog).with({ datastore: connection.path });
    this.#safetyInterval = options.safetyInterval ?? 2000;
    this.#listener = listen(connection.path, () => this.#pulse.beat());
    this.#keeping = this.#keep();
  }

  list(kind: Kind): Promise<Listing> {
    return guarded(() => {
      checkKind(kind);
      return this.#connection.read("list", (tables) => {
        const moment = this.#moment(tables);
        return {
          objects: tables.objects(kind).map((row) => storedObject(moment, row)),
          revision: revisionText(moment.state, moment.state.revision),
        };
      });
    });
  }

  get(kind: Kind, name: string): Promise<StoredObject | undefined> {
    return guarded(() => {
      checkName(kind, name);
      return this.#connection.read("get", (tables) => {
        const row = tables.object(kind, name);
        return row && storedObject(this.#moment(tables), row);
      });
    });
  }

  create(kind: Kind, name: string, value: Uint8Array, options: WriteOptions = {}): Promise<StoredObject> {
    return guarded(() => {
      checkWrite(kind, name, value, options.ttlSeconds);
      const bytes = value.slice(); // the caller may reuse its buffer before the write's turn comes
      return this.#connection.write((transaction) => {
        if (transaction.object(kind, name) !== undefined) {
          throw new TwillError("exists", "exists already", { operation: "create", object: `${kind}/${name}` });
        }
        return this.#put(transaction, kind, name, bytes, options);
      });
    });
  }

  update(
    kind: Kind,
    name: string,
    value: Uint8Array,
    revision: Revision,
    options: WriteOptions = {},
  ): Promise<StoredObject> {
    return guarded(() => {
      checkWrite(kind, name, value, options.ttlSeconds);
      const bytes = value.slice();
      return this.#connection.write((transaction) => {
        expectRevision(transaction, "update", kind, name, revision);
        return this.#put(transaction, kind, name, bytes, options);
      });
    });
  }

  delete(kind: Kind, name: string, revision?: Revision): Promise<void> {
    return guarded(() => {
      checkName(kind, name);
      return this.#connection.write((transaction) => {
        expectRevision(transaction, "delete", kind, name, revision);
        transaction.remove(kind, name);
      });
    });
  }

  renew(kind: Kind, name: string, ttlSeconds: number): Promise<void> {
    return guarded(() => {
      checkName(kind, name);
      checkTtl(kind, name, ttlSeconds);
      return this.#connection.write((transaction) => {
        expectRevision(transaction, "renew", kind, name);
        transaction.renew(kind, name, ttlSeconds);
      });
    });
  }

  watch(kind: Kind, from: Revision, options: { readonly signal?: AbortSignal } = {}): AsyncIterable<WatchEvent> {
    const source = {
      connection: this.#connection,
      pulse: this.#pulse,
      closing: this.#closing.signal,
      moment: (tables: Tables) => this.#moment(tables),
    };
    return watch(source, kind, from, options.signal ?? this.#closing.signal);
  }

  /** Forgets history beyond the limits now, instead of when enough has been written. */
  async compact(limits: Partial<HistoryLimits> = {}): Promise<void> {
    await this.#connection.write((transaction) => transaction.compact({ ...this.#limits, ...limits }));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#listener.close();
    await this.#keeping;
    await this.#connection.close();
  }

  #put(transaction: Transaction, kind: Kind, name: string, value: Uint8Array, options: WriteOptions): StoredObject {
    const row = transaction.put(kind, name, value, options.ttlSeconds);
    const { state } = transaction;
    return storedObject({ state, leaseTime: state.leaseTime, wallNow: this.#clock.now() }, row);
  }

  #moment(tables: Tables): Moment {
    const state = tables.state();
    return { state, leaseTime: leaseTimeAt(state, this.#bootClock()), wallNow: this.#clock.now() };
  }

  /** Until closed: expires what is due, lets lease time go on, and looks whether a notice was lost. */
  async #keep(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      let pause = this.#safetyInterval;
      try {
        pause = await this.#keepOnce();
        this.#noteTrouble(undefined);
      } catch (error) {
        this.#noteTrouble(describeError(error));
        // Whoever watches looks too, and so learns that the file is away: there is no notice of that.
        this.#pulse.beat();
      }
      await this.#clock.sleep(pause, this.#closing.signal);
    }
  }

  /** @returns milliseconds until there is something to do again. */
  async #keepOnce(): Promise<number> {
    const boot = this.#bootClock();
    const { untilExpiry, writeDue } = await this.#connection.read("look after", (tables) => {
      const state = tables.state();
      const now = leaseTimeAt(state, boot);
      const next = tables.nextExpiry();
      const oldest = tables.oldestHistory();
      return {
        untilExpiry: next === undefined ? Number.POSITIVE_INFINITY : next - now,
        writeDue:
          (next !== undefined && (next <= now || isObservationDue(state, boot))) ||
          (oldest !== undefined && now - oldest > this.#limits.age),
      };
    });
    if (writeDue) {
      await this.#connection.write((transaction) => {
        transaction.observe();
        transaction.compact();
      });
    }
    this.#noteDeafness(!this.#listener.rearm());
    this.#pulse.beat();
    return writeDue ? 1 : Math.min(this.#safetyInterval, untilExpiry);
  }

  /** Once a trouble, not once a look. */
  #noteTrouble(trouble: string | undefined): void {
    if (trouble !== undefined && trouble !== this.#trouble) {
      this.#log.warn("cannot look after the datastore, trying again", { error: trouble });
    }
    this.#trouble = trouble;
  }

  #noteDeafness(deaf: boolean): void {
    if (deaf && !this.#deaf) {
      this.#log.warn(`no change notices: changes by others are seen up to ${this.#safetyInterval} ms late`, {
        remedy: "raise the sysctls fs.inotify.max_user_watches and fs.inotify.max_user_instances",
      });
    }
    this.#deaf = deaf;
  }
}

/** What is wrong with the arguments comes as a rejection, like everything else. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  return await work();
}

/** @throws TwillError `not-found`, or `conflict` when the object is at another revision than that. */
function expectRevision(
  transaction: Transaction,
  operation: string,
  kind: Kind,
  name: string,
  revision?: Revision,
): ObjectRow {
  const details = { operation, object: `${kind}/${name}` };
  const row = transaction.object(kind, name);
  if (row === undefined) throw new TwillError("not-found", "does not exist", details);
  if (revision !== undefined && revisionText(transaction.state, row.revision) !== revision) {
    throw new TwillError("conflict", `was changed since revision ${revision}`, {
      ...details,
      remedy: "read it again and repeat the change",
    });
  }
  return row;
}
