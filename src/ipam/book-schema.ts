import type { Database } from "bun:sqlite";
import { TwillError } from "../base/errors.ts";

/** SQLite's application_id (file format, offset 68): "TwAd". */
export const APPLICATION_ID = 0x54774164;
/** PRAGMA user_version of the layout below. */
export const SCHEMA_VERSION = 1;

/**
 * An attachment without a result is being added. An address has an owner, or had one and is in quarantine `until`
 * (milliseconds of the boot clock of `boot.id`); `released` counts releases, so that their order is known. That
 * the address is the key is the last of the guards against two owners.
 */
const layout = [
  "CREATE TABLE boot (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT",
  `CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    network TEXT NOT NULL,
    container TEXT NOT NULL,
    ifname TEXT NOT NULL,
    mac TEXT,
    result TEXT,
    UNIQUE (network, container, ifname)
  ) STRICT`,
  `CREATE TABLE address (
    address TEXT PRIMARY KEY,
    attachment INTEGER REFERENCES attachment (id),
    released INTEGER,
    until INTEGER,
    CHECK ((attachment IS NULL) = (released IS NOT NULL) AND (attachment IS NULL) = (until IS NOT NULL))
  ) STRICT, WITHOUT ROWID`,
  "CREATE INDEX address_attachment ON address (attachment)",
];

export function createSchema(database: Database, bootId: string): void {
  database.transaction(() => {
    for (const statement of layout) database.run(statement);
    database.query("INSERT INTO boot (one, id) VALUES (1, ?)").run(bootId);
    database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  })();
}

/** @throws TwillError `unsupported` for the layout of a later Twill. What is not ours at all: `corrupt`, by `damaged`. */
export function checkSchema(database: Database, path: string, damaged: (what: string) => TwillError): void {
  const number = (pragma: "application_id" | "user_version"): number =>
    database.query<Record<string, number>, []>(`PRAGMA ${pragma}`).get()?.[pragma] ?? 0;
  if (number("application_id") !== APPLICATION_ID) throw damaged("it is not an address book");
  const version = number("user_version");
  if (version > SCHEMA_VERSION) {
    throw new TwillError("unsupported", `has layout version ${version}; this Twill reads up to ${SCHEMA_VERSION}`, {
      operation: "open address book",
      object: path,
      remedy: "run the Twill that wrote it, or a later one; the file was not touched",
    });
  }
  const check = database.query<Record<string, string>, []>("PRAGMA quick_check(1)").get();
  if (check?.quick_check !== "ok") throw damaged(check?.quick_check ?? "its check gave no answer");
}
