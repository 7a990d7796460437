import { Database } from "bun:sqlite";
import { APPLICATION_ID } from "./schema.ts";

/** A file as layout version 1 was: expiry by the wall clock, no time in the history. Frozen; never adapt it. */
export function writeVersion1(path: string, expiresAt: number): void {
  const database = new Database(path);
  for (const statement of [
    "PRAGMA journal_mode = WAL",
    `CREATE TABLE store (
      one INTEGER PRIMARY KEY CHECK (one = 1), incarnation TEXT NOT NULL, revision INTEGER NOT NULL, compacted INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE object (
      kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, expires INTEGER, UNIQUE (kind, name)
    ) STRICT`,
    `CREATE TABLE history (
      revision INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
      type TEXT NOT NULL CHECK (type IN ('put', 'delete', 'expire')), value BLOB, expires INTEGER
    ) STRICT`,
    "CREATE INDEX history_kind ON history (kind, revision)",
    "INSERT INTO store VALUES (1, '00112233aabbccdd', 3, 0)",
    "INSERT INTO object VALUES ('nodes', 'kept', 1, x'6b657074', NULL)",
    `INSERT INTO object VALUES ('nodes', 'leased', 3, x'6c6561736564', ${expiresAt})`,
    "INSERT INTO history VALUES (1, 'nodes', 'kept', 'put', x'6b657074', NULL)",
    "INSERT INTO history VALUES (2, 'nodes', 'leased', 'put', x'30', NULL)",
    `INSERT INTO history VALUES (3, 'nodes', 'leased', 'put', x'6c6561736564', ${expiresAt})`,
    `PRAGMA application_id = ${APPLICATION_ID}`,
    "PRAGMA user_version = 1",
  ]) {
    database.run(statement);
  }
  database.close();
}
