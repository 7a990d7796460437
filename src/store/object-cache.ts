import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { ensureDirectory } from "./directory.ts";
import type { Snapshot, SnapshotCache } from "./snapshot.ts";

export interface ObjectCacheOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds for which changes are gathered. */
  readonly delay?: number;
}

/** "TwOc": SQLite's application_id; and the layout's version. */
const APPLICATION_ID = 0x54774f63;
const VERSION = 1;
/** Rows in one stretch of the event loop: a millisecond or two. */
const SLICE = 200;

/**
 * The last known objects of a kind that is large: a row each, so that one pod among 30,000 costs a row, where a snapshot is written
 * whole. It is a convenience: what cannot be read or written is logged, and made anew.
 */
export class ObjectCache implements SnapshotCache {
  readonly path: string;
  readonly #options: ObjectCacheOptions;
  readonly #pending = new Map<string, Uint8Array | undefined>();
  #database: Database | undefined;
  /** A write failed: what follows would be changes of nothing. */
  #failed = false;
  #writing: Promise<void> | undefined;
  #hurry = new AbortController();

  constructor(path: string, options: ObjectCacheOptions) {
    this.path = path;
    this.#options = options;
  }

  load(): Snapshot | undefined {
    try {
      const database = this.#open();
      const whole = database.query<{ savedAt: number }, []>("SELECT savedAt FROM whole").get();
      if (whole === null) return undefined;
      const objects = database.query<{ name: string; value: Uint8Array }, []>("SELECT name, value FROM object").all();
      return { savedAt: whole.savedAt, objects };
    } catch (error) {
      this.#giveUp("the cached state cannot be used and is ignored", error);
      return undefined;
    }
  }

  /** What it has is of another time: it begins empty. */
  clear(): void {
    this.#attempt((database) => {
      database.run("DELETE FROM whole");
      database.run("DELETE FROM object");
    });
  }

  /** @param changes by name; undefined: gone. All that were kept before stay so. */
  keep(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    if (this.#failed) return;
    for (const [name, value] of changes) this.#pending.set(name, value);
    this.#writing ??= this.#write();
  }

  changed(take: () => Snapshot): void {
    this.keep(new Map(take().objects.map(({ name, value }) => [name, value])));
  }

  /** Writes now what is waiting to be written. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    await this.#writing;
    this.#hurry = new AbortController();
  }

  async #write(): Promise<void> {
    await this.#options.clock.sleep(this.#options.delay ?? 1_000, this.#hurry.signal);
    do {
      const slice = [...this.#pending.entries().take(SLICE)];
      for (const [name] of slice) this.#pending.delete(name);
      this.#attempt((database) => {
        const put = database.query("INSERT OR REPLACE INTO object (name, value) VALUES (?, ?)");
        const remove = database.query("DELETE FROM object WHERE name = ?");
        for (const [name, value] of slice) value === undefined ? remove.run(name) : put.run(name, value);
        // Half of a first list would be a cluster that never was.
        if (this.#pending.size === 0)
          database.query("INSERT OR REPLACE INTO whole (one, savedAt) VALUES (1, ?)").run(this.#options.clock.now());
      });
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#pending.size > 0);
    this.#writing = undefined;
  }

  #attempt(work: (database: Database) => void): void {
    try {
      const database = this.#open();
      database.transaction(() => work(database))();
    } catch (error) {
      this.#failed = true;
      this.#pending.clear();
      this.#giveUp("cannot cache the state: a restart with the datastore away would begin without it", error);
    }
  }

  #open(): Database {
    if (this.#database !== undefined) return this.#database;
    ensureDirectory(dirname(this.path));
    const database = new Database(this.path, { create: true, strict: true });
    const pragma = (name: string) => database.query<Record<string, number>, []>(`PRAGMA ${name}`).get()?.[name];
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    if (pragma("application_id") !== APPLICATION_ID || pragma("user_version") !== VERSION) {
      database.run("DROP TABLE IF EXISTS object");
      database.run("DROP TABLE IF EXISTS whole");
      database.run("CREATE TABLE object (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID");
      database.run("CREATE TABLE whole (one INTEGER PRIMARY KEY CHECK (one = 1), savedAt INTEGER NOT NULL) STRICT");
      database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
      database.run(`PRAGMA user_version = ${VERSION}`);
    }
    this.#database = database;
    return database;
  }

  /** No file is better than one that is damaged, or lacks something. */
  #giveUp(what: string, error: unknown): void {
    this.#options.log.warn(what, { cache: this.path, error: describeError(error) });
    this.#database?.close();
    this.#database = undefined;
    for (const ending of ["", "-wal", "-shm"]) rmSync(`${this.path}${ending}`, { force: true });
  }
}
