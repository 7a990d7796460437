import type { Database } from "bun:sqlite";
import { hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";

/** SQLite's application_id (file format, offset 68): "Twil". */
export const APPLICATION_ID = 0x5477696c;

/**
 * PRAGMA user_version of the layout below. Version 1 kept wall-clock expiry times and no time in the history.
 * A change of layout raises it, adds the step to `migrations`, and a fixture of the version before to the test.
 */
export const SCHEMA_VERSION = 2;

/**
 * `store` has one row. `revision` counts every write; `compacted` is the last revision whose history is forgotten;
 * `incarnation` tells this file from any other, so that a revision of a deleted file is never taken for one of its
 * successor. Times (`expires`, `at`, `lease_time`) are lease time: lease-clock.ts.
 */
const layout = [
  `CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation TEXT NOT NULL,
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    lease_time INTEGER NOT NULL DEFAULT 0,
    boot_id TEXT NOT NULL DEFAULT '',
    boot_time INTEGER NOT NULL DEFAULT 0
  ) STRICT`,
  `CREATE TABLE object (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB NOT NULL,
    expires INTEGER,
    UNIQUE (kind, name)
  ) STRICT`,
  "CREATE INDEX object_expires ON object (expires) WHERE expires IS NOT NULL",
  `CREATE TABLE history (
    revision INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('put', 'delete', 'expire')),
    value BLOB,
    expires INTEGER,
    at INTEGER NOT NULL DEFAULT 0
  ) STRICT`,
  "CREATE INDEX history_kind ON history (kind, revision)",
];

/** Step n leads from version n to n + 1, inside the transaction that reads the version. */
const migrations: Readonly<Record<number, (database: Database, wallNow: number) => void>> = {
  1: (database, wallNow) => {
    database.run("ALTER TABLE store ADD COLUMN lease_time INTEGER NOT NULL DEFAULT 0");
    database.run("ALTER TABLE store ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''");
    database.run("ALTER TABLE store ADD COLUMN boot_time INTEGER NOT NULL DEFAULT 0");
    database.run("ALTER TABLE history ADD COLUMN at INTEGER NOT NULL DEFAULT 0");
    // Lease time starts at 0, so what is left of the wall-clock time is the time of expiry.
    for (const table of ["object", "history"]) {
      database.query(`UPDATE ${table} SET expires = max(expires - ?, 0) WHERE expires IS NOT NULL`).run(wallNow);
    }
    database.run("CREATE INDEX object_expires ON object (expires) WHERE expires IS NOT NULL");
  },
};

/** Lays out an empty database. `incarnation`: random bytes. */
export function createSchema(database: Database, incarnation: Uint8Array): void {
  database.run("PRAGMA journal_mode = WAL");
  database.transaction(() => {
    for (const statement of layout) database.run(statement);
    database
      .query("INSERT INTO store (one, incarnation, revision, compacted) VALUES (1, ?, 0, 0)")
      .run(hex(incarnation));
    database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  })();
}

export function schemaVersion(database: Database): number {
  return database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

/**
 * Brings an older file up to date, in one transaction; two processes may try at once.
 * @throws TwillError `corrupt` for a database that is not ours, `unsupported` for one of a later Twill.
 */
export function migrate(database: Database, path: string, wallNow: number): void {
  const application = database.query<{ application_id: number }, []>("PRAGMA application_id").get()?.application_id;
  if (application !== APPLICATION_ID) {
    throw new TwillError("corrupt", "is an SQLite database, but not a Twill datastore", {
      operation: "open datastore",
      object: path,
      remedy: "correct the path, or move the file away: Twill then makes a new, empty one",
    });
  }
  if (checkVersion(schemaVersion(database), path)) return;
  database
    .transaction(() => {
      for (let version = schemaVersion(database); !checkVersion(version, path); version++) {
        migrations[version]?.(database, wallNow);
        database.run(`PRAGMA user_version = ${version + 1}`);
      }
    })
    .immediate();
}

/** Whether the version is ours; false when it is older. @throws TwillError when nothing here can read it. */
export function checkVersion(version: number, path: string): boolean {
  if (version === SCHEMA_VERSION) return true;
  if (version in migrations) return false;
  throw new TwillError(
    "unsupported",
    `has layout version ${version}; this Twill reads ${Object.keys(migrations)[0]} to ${SCHEMA_VERSION}`,
    {
      operation: "open datastore",
      object: path,
      remedy:
        version > SCHEMA_VERSION
          ? "run the Twill that wrote it, or a later one, on every node of this machine; the file was not touched"
          : "restore the file from a backup; it was not touched",
    },
  );
}
