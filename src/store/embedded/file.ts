import { Database } from "bun:sqlite";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  openSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { ensureDirectory, errnoCode, syncDirectory } from "../directory.ts";
import { createSchema } from "./schema.ts";
import { storeError } from "./sqlite-error.ts";

/** The one name of the file, symbolic links followed. Makes its directory when only that is missing. */
export function canonicalPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  ensureDirectory(dirname(path));
  return join(realpathSync(dirname(path)), basename(path));
}

/** Device and inode: whether a path still means the file that was opened. Undefined: there is none. */
export function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

/** @throws TwillError for anything in the way that is not a whole database file; whatever it is, it stays as it is. */
export function createIfMissing(path: string, random: Random): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) create(path, random);
  else checkFile(path, found);
}

/**
 * The file appears under its name complete or not at all (link(2)), so that an empty file is never one in the making,
 * and of several processes that start together one wins and none sees less than the whole layout.
 */
function create(path: string, random: Random): void {
  refuseOrphanedLog(path);
  const temporary = `${path}-new-${hex(random.bytes(8))}`;
  try {
    // Made by us first: SQLite would use the umask, and gives -wal and -shm the mode of the database.
    closeSync(openSync(temporary, "wx", 0o600));
    const database = new Database(temporary, { readwrite: true, create: false });
    try {
      createSchema(database, random.bytes(8));
    } finally {
      database.close();
    }
    linkSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    if (errnoCode(error) !== "EEXIST") throw creationError(error, path);
  } finally {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(temporary + suffix, { force: true });
  }
}

/** SQLite would replay a log left by a deleted database into a new one. */
function refuseOrphanedLog(path: string): void {
  const log = `${path}-wal`;
  if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) === 0 || existsSync(path)) return;
  throw new TwillError("corrupt", `is missing, but its log ${log} is there and may hold the last writes`, {
    operation: "open datastore",
    object: path,
    remedy: `restore ${path} beside it, or move ${log} away to start empty`,
  });
}

function checkFile(path: string, found: Stats): void {
  const details = { operation: "open datastore", object: path };
  if (!found.isFile()) throw new TwillError("io", "is not a regular file", { ...details, remedy: "correct the path" });
  if (found.size === 0) {
    throw new TwillError("corrupt", "is empty: a datastore never is, something truncated it", {
      ...details,
      remedy: "restore it from a backup, or remove it and its -wal and -shm: Twill then makes a new one",
    });
  }
  if ((found.mode & 0o077) !== 0) chmodSync(path, 0o600);
}

function creationError(error: unknown, path: string): TwillError {
  const code = errnoCode(error);
  if (code === undefined || code.startsWith("SQLITE_")) return storeError(error, "create datastore", path);
  return new TwillError("io", code === "ENOSPC" ? "no space is left on its file system" : `failed with ${code}`, {
    operation: "create datastore",
    object: path,
    remedy:
      code === "ENOSPC" ? `free space in ${dirname(path)}` : `check that ${dirname(path)} may be written and has space`,
    cause: error,
  });
}
