import { Database } from "bun:sqlite";
import { chmodSync, closeSync, existsSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Address, tryAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { type Mac, tryMac } from "../base/mac.ts";
import type { AttachmentKey } from "../model/attachment-key.ts";
import { ensureDirectory, errnoCode, syncDirectory } from "../store/directory.ts";
import { isBusy, storeError } from "../store/embedded/sqlite-error.ts";
import { checkSchema, createSchema } from "./book-schema.ts";
import type { Boot } from "./boot.ts";

/** An attachment as stored; `id` names it in the file. */
export interface StoredAttachment {
  readonly id: number;
  readonly key: AttachmentKey;
  readonly addresses: readonly Address[];
  readonly mac?: Mac;
  /** Absent while the attachment is being added. */
  readonly result?: string;
}

/** An address that nobody has, and until when nobody may have it. */
export interface ReleasedAddress {
  readonly address: Address;
  readonly until: number;
}

interface AttachmentRow {
  readonly id: number;
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
  readonly mac: string | null;
  readonly result: string | null;
}

/**
 * The address book on disk: statements without decisions, each change one transaction.
 *
 * WAL with synchronous NORMAL: what was committed survives kill -9, for the kernel has it; a power cut may take the
 * last commits but never half of one, and no pod survives a power cut either, so nothing that counts is lost.
 */
export class BookFile {
  readonly path: string;
  readonly #database: Database;
  #releases = 0;

  /** @throws TwillError `corrupt`, `unsupported` (of a later Twill), `unavailable` (in use by another process), `io`, `denied`. */
  static open(path: string, boot: Boot): BookFile {
    ensureDirectory(dirname(path));
    return guarded("open address book", path, () => {
      if (!existsSync(path)) create(path, boot);
      checkFile(path);
      return new BookFile(path, open(path));
    });
  }

  private constructor(path: string, database: Database) {
    this.path = path;
    this.#database = database;
    const row = database.query<{ last: number | null }, []>("SELECT max(released) AS last FROM address").get();
    this.#releases = row?.last ?? 0;
  }

  close(): void {
    this.#database.close();
  }

  bootId(): string {
    const row = this.#database.query<{ id: string }, []>("SELECT id FROM boot").get();
    if (row === null) throw damaged(this.path, "it does not say which boot it belongs to");
    return row.id;
  }

  /** Nobody's address stays in quarantine longer than that: see AddressBook.open. */
  limitQuarantine(until: number): void {
    this.#write("open address book", () => {
      this.#database.query("UPDATE address SET until = ? WHERE until > ?").run(until, until);
    });
  }

  /** Takes all addresses from all owners. */
  startOver(bootId: string, until: number): void {
    this.#write("free addresses after a reboot", () => {
      this.#database.query("UPDATE address SET until = ? WHERE attachment IS NULL").run(until);
      this.#database
        .query("UPDATE address SET attachment = NULL, until = ?, released = ? WHERE attachment IS NOT NULL")
        .run(until, ++this.#releases);
      this.#database.run("DELETE FROM attachment");
      this.#database.query("UPDATE boot SET id = ?").run(bootId);
    });
  }

  attachments(): StoredAttachment[] {
    const addresses = new Map<number, Address[]>();
    for (const row of this.#database
      .query<{ address: string; attachment: number }, []>(
        "SELECT address, attachment FROM address WHERE attachment IS NOT NULL",
      )
      .all()) {
      const known = addresses.get(row.attachment) ?? [];
      known.push(this.#address(row.address));
      addresses.set(row.attachment, known);
    }
    return this.#database
      .query<AttachmentRow, []>("SELECT id, network, container, ifname, mac, result FROM attachment ORDER BY id")
      .all()
      .map(({ id, network, container, ifname, mac, result }) => ({
        id,
        key: { network, containerId: container, ifname },
        addresses: addresses.get(id) ?? [],
        ...(mac !== null && { mac: this.#mac(mac) }),
        ...(result !== null && { result }),
      }));
  }

  /** In the order of their release. */
  released(): ReleasedAddress[] {
    return this.#database
      .query<{ address: string; until: number }, []>(
        "SELECT address, until FROM address WHERE attachment IS NULL ORDER BY released, address",
      )
      .all()
      .map(({ address, until }) => ({ address: this.#address(address), until }));
  }

  /** @returns the id of the attachment. */
  assign(key: AttachmentKey, addresses: readonly Address[], mac: Mac | undefined): number {
    return this.#write("assign address", () => {
      const { lastInsertRowid } = this.#database
        .query("INSERT INTO attachment (network, container, ifname, mac) VALUES (?, ?, ?, ?)")
        .run(key.network, key.containerId, key.ifname, mac ?? null);
      const id = Number(lastInsertRowid);
      // Over a released address, never over one that has an owner.
      const take = this.#database.query(
        `INSERT INTO address (address, attachment) VALUES (?, ?)
         ON CONFLICT (address) DO UPDATE SET attachment = excluded.attachment, released = NULL, until = NULL
         WHERE attachment IS NULL`,
      );
      for (const address of addresses) {
        if (take.run(address, id).changes === 1) continue;
        throw new TwillError("internal", "the file says that it has an owner already", { object: address });
      }
      return id;
    });
  }

  setResult(id: number, result: string): void {
    this.#write("record attachment", () => {
      this.#database.query("UPDATE attachment SET result = ? WHERE id = ?").run(result, id);
    });
  }

  /** `forgotten`: released before, and not worth remembering any longer. */
  release(attachments: readonly StoredAttachment[], until: number, forgotten: readonly Address[]): void {
    this.#write("release address", () => {
      const free = this.#database.query(
        "UPDATE address SET attachment = NULL, until = ?, released = ? WHERE address = ?",
      );
      const remove = this.#database.query("DELETE FROM attachment WHERE id = ?");
      for (const { id, addresses } of attachments) {
        for (const address of addresses) free.run(until, ++this.#releases, address);
        remove.run(id);
      }
      const forget = this.#database.query("DELETE FROM address WHERE address = ? AND attachment IS NULL");
      for (const address of forgotten) forget.run(address);
    });
  }

  #write<T>(operation: string, work: () => T): T {
    return guarded(operation, this.path, () => this.#database.transaction(work).immediate());
  }

  #address(text: string): Address {
    const address = tryAddress(text);
    if (address === undefined || address !== text) throw damaged(this.path, `"${text}" is not an address`);
    return address;
  }

  #mac(text: string): Mac {
    const mac = tryMac(text);
    if (mac === undefined) throw damaged(this.path, `"${text}" is not an Ethernet address`);
    return mac;
  }
}

/** Under its name only once it is complete: so an empty file is never a new one, but one that lost its content. */
function create(path: string, boot: Boot): void {
  const temporary = `${path}.new`;
  // What a crash left of an earlier attempt; and a log without its file, which SQLite would replay into the new one.
  for (const file of [temporary, `${temporary}-journal`, `${path}-wal`, `${path}-shm`]) rmSync(file, { force: true });
  closeSync(openSync(temporary, "wx", 0o600));
  const database = new Database(temporary, { readwrite: true, create: false });
  try {
    createSchema(database, boot.id);
  } finally {
    database.close();
  }
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

function checkFile(path: string): void {
  const found = statSync(path);
  if (!found.isFile()) throw damaged(path, "it is not a file");
  if (found.size === 0) throw damaged(path, "it is empty");
  if ((found.mode & 0o077) !== 0) chmodSync(path, 0o600);
}

function open(path: string): Database {
  const database = new Database(path, { readwrite: true, create: false });
  try {
    // The agent alone: another that opens the file is refused, and SQLite needs no shared memory.
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("PRAGMA trusted_schema = OFF");
    checkSchema(database, path, (what) => damaged(path, what));
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run("PRAGMA foreign_keys = ON");
    database.transaction(() => {}).immediate();
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function damaged(path: string, what: string, cause?: unknown): TwillError {
  return new TwillError("corrupt", `the address book is damaged: ${what}`, {
    operation: "open address book",
    object: path,
    remedy:
      "Twill does not make a new one while pods may use addresses that it would give again: drain the node, move the " +
      "file and its -wal away, and start the agent; a reboot instead of the drain does as well",
    cause,
  });
}

function guarded<T>(operation: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TwillError) throw error;
    if (isBusy(error)) {
      throw new TwillError("unavailable", "is in use by another process", {
        operation,
        object: path,
        remedy: "one agent runs on a node: stop the other one",
        cause: error,
      });
    }
    const code = errnoCode(error);
    if (code !== undefined && /^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw damaged(path, code, error);
    if (code !== undefined && !code.startsWith("SQLITE_")) {
      throw new TwillError("io", `failed with ${code}`, {
        operation,
        object: path,
        remedy: `check that ${dirname(path)} can be written and has space`,
        cause: error,
      });
    }
    throw storeError(error, operation, path);
  }
}
