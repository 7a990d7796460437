import { Database } from "bun:sqlite";
import type { Clock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { ring } from "./bell.ts";
import { canonicalPath, createIfMissing, identityOf } from "./file.ts";
import type { BootClock } from "./lease-clock.ts";
import { lockHolder } from "./lock-holder.ts";
import { checkVersion, migrate, schemaVersion } from "./schema.ts";
import { isBusy, storeError } from "./sqlite-error.ts";
import { type HistoryLimits, Tables } from "./tables.ts";
import { Transaction } from "./transaction.ts";

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly bootClock: BootClock;
  readonly limits: HistoryLimits;
  /** How long a locked file is tried for, milliseconds. */
  readonly lockTimeout: number;
  /** Whether a missing file is made. Not by who knows that there was one: it is away, not new. */
  readonly create: boolean;
}

/** Writes that wait together share one commit; more would keep other processes out for too long. */
const LARGEST_BATCH = 256;
/** SQLite's own wait, which blocks this process, milliseconds: enough for a neighbour's usual commit. */
const BUSY_TIMEOUT = 5;

interface Job {
  readonly work: (transaction: Transaction) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** Its batch failed as a whole: it gets a transaction of its own. */
  alone?: boolean;
}

/** One open file: reads, and writes in batches, each tried again for a while when another process holds the lock. */
export class Connection {
  readonly path: string;
  readonly #options: ConnectionOptions;
  #tables: Tables | undefined;
  #identity: string | undefined;
  #openings = 0;
  #closed = false;
  readonly #queue: Job[] = [];
  #draining: Promise<void> | undefined;

  private constructor(path: string, options: ConnectionOptions) {
    this.path = path;
    this.#options = options;
  }

  static async open(path: string, options: ConnectionOptions): Promise<Connection> {
    if (!options.create && identityOf(path) === undefined) throw away(path);
    const connection = new Connection(canonicalPath(path), options);
    await connection.#attempt("open datastore", () => {
      createIfMissing(connection.path, options.random);
      connection.#current();
    });
    return connection;
  }

  /** How often the file was opened: it is again when another took its place under its name. */
  get openings(): number {
    return this.#openings;
  }

  /** Runs `work` on one moment of the file. */
  read<T>(operation: string, work: (tables: Tables) => T): Promise<T> {
    return this.#attempt(operation, () => {
      const tables = this.#current();
      tables.begin("read");
      try {
        checkVersion(schemaVersion(tables.database), this.path);
        return work(tables);
      } finally {
        tables.rollback();
      }
    });
  }

  /**
   * Runs `work` in a transaction and resolves once that is on disk. `work` throws a TwillError only before its first
   * change: others share the transaction and are not rolled back.
   */
  write<T>(work: (transaction: Transaction) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: { readonly value: T };
      this.#queue.push({
        work: (transaction) => {
          result = { value: work(transaction) };
        },
        resolve: () => resolve(result.value),
        reject,
      });
      this.#draining ??= this.#drain();
    });
  }

  /** Waits for the writes that were asked for. Idempotent. */
  async close(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
    this.#closed = true;
    this.#release();
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      // A turn of the event loop: whatever is asked for meanwhile shares the commit, and a caller that writes in a loop
      // cannot keep timers and sockets from being served.
      await new Promise((resolve) => setImmediate(resolve));
      try {
        await this.#attempt("write", () => this.#run(this.#begin(), this.#nextBatch()));
      } catch (error) {
        for (const job of this.#queue.splice(0)) job.reject(error);
      }
    }
    this.#draining = undefined;
  }

  #begin(): Tables {
    const tables = this.#current();
    tables.begin("write");
    try {
      // A later Twill may have brought the file to its own layout while we had it open.
      checkVersion(schemaVersion(tables.database), this.path);
    } catch (error) {
      tables.rollback();
      throw error;
    }
    return tables;
  }

  #nextBatch(): Job[] {
    if (this.#queue[0]?.alone === true) return this.#queue.splice(0, 1);
    const end = this.#queue.findIndex((job) => job.alone === true);
    return this.#queue.splice(0, Math.min(LARGEST_BATCH, end < 0 ? this.#queue.length : end));
  }

  /**
   * Synchronous from BEGIN to COMMIT: nobody waits for our event loop while we hold the lock, and no read of ours comes
   * between, which shares the connection. Settles the batch, never throws.
   */
  #run(tables: Tables, batch: readonly Job[]): void {
    const settle: (() => void)[] = [];
    let visible = false;
    try {
      const transaction = new Transaction(tables, this.#options.limits, this.#options.bootClock());
      for (const job of batch) {
        try {
          job.work(transaction);
          settle.push(job.resolve);
        } catch (error) {
          if (!(error instanceof TwillError)) throw error;
          settle.push(() => job.reject(error));
        }
      }
      visible = transaction.visible;
      if (transaction.finish()) tables.commit();
      else tables.rollback();
    } catch (error) {
      this.#abandon(tables, batch, storeError(error, "write", this.path));
      return;
    }
    if (visible) ring(this.path);
    for (const each of settle) each();
  }

  /** One large value on a nearly full disk must not fail its small neighbours. */
  #abandon(tables: Tables, batch: readonly Job[], error: TwillError): void {
    try {
      tables.rollback();
    } catch {
      // The file fails altogether; `error` says why.
    }
    if (batch.length === 1) for (const job of batch) job.reject(error);
    else this.#queue.unshift(...batch.map((job) => ({ ...job, alone: true })));
  }

  /** Repeats what met a lock, without blocking the event loop, until the timeout. */
  async #attempt<T>(operation: string, work: () => T): Promise<T> {
    const { clock, random, lockTimeout } = this.#options;
    const deadline = clock.monotonic() + lockTimeout;
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!isBusy(error)) throw storeError(error, operation, this.path);
        if (clock.monotonic() >= deadline) throw this.#lockedError(operation, error);
      }
      await clock.sleep(1 + random.below(10));
    }
  }

  #lockedError(operation: string, cause: unknown): TwillError {
    const holder = lockHolder(this.path) ?? "a process that cannot be seen from here";
    return new TwillError("unavailable", `has been locked by ${holder} for ${this.#options.lockTimeout} ms`, {
      operation,
      object: this.path,
      remedy: "end that process, or let it finish; nothing was changed",
      cause,
    });
  }

  /** The open file, opened again when its name means another file now (restored from a backup, removed and made anew). */
  #current(): Tables {
    if (this.#closed) {
      throw new TwillError("unavailable", "the datastore was closed", { object: this.path });
    }
    const identity = identityOf(this.path);
    if (identity === undefined) {
      throw new TwillError("unavailable", "was removed while in use", {
        operation: "open datastore",
        object: this.path,
        remedy: "put it back, or restart Twill to make an empty one",
      });
    }
    if (this.#tables !== undefined && this.#identity === identity) return this.#tables;
    this.#release();
    this.#tables = open(this.path, this.#options.clock.now());
    this.#identity = identity;
    this.#openings++;
    return this.#tables;
  }

  #release(): void {
    this.#tables?.database.close();
    this.#tables = undefined;
  }
}

const away = (path: string): TwillError =>
  new TwillError("unavailable", "is not there, and was before", {
    operation: "open datastore",
    object: path,
    remedy: "mount its directory, or put the file back; for a new, empty one: twill config set",
  });

function open(path: string, wallNow: number): Tables {
  const database = new Database(path, { readwrite: true, create: false });
  try {
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    migrate(database, path, wallNow);
    database.run("PRAGMA journal_mode = WAL");
    // FULL: what was acknowledged outlives a power cut too (in WAL mode NORMAL keeps the file whole, not the last writes).
    database.run("PRAGMA synchronous = FULL");
    database.run("PRAGMA journal_size_limit = 16777216");
    database.run("PRAGMA trusted_schema = OFF");
    return new Tables(database);
  } catch (error) {
    database.close();
    throw error;
  }
}
