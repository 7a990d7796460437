import { SQLiteError } from "bun:sqlite";
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { TwillError } from "../../base/errors.ts";

const ENOSPC = 28;

/** Somebody else holds the lock for the moment (https://sqlite.org/rescode.html): worth another try. */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(codeOf(error));
}

/** Any error of SQLite as ours, naming the file and the way out. Errors of ours pass unchanged. */
export function storeError(error: unknown, operation: string, path: string): TwillError {
  if (error instanceof TwillError) return error;
  const code = codeOf(error);
  const details = { operation, object: path, cause: error };
  if (isBusy(error)) return new TwillError("unavailable", "is locked by another process", details);
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new TwillError("corrupt", "is damaged", {
      ...details,
      remedy: `stop Twill and restore ${path} from a backup, or move it and its -wal and -shm away: Twill then makes an empty one; nothing was changed`,
    });
  }
  if (code.startsWith("SQLITE_FULL") || (code.startsWith("SQLITE_IOERR") && freeBytes(path) === 0)) {
    return new TwillError("io", "no space is left on its file system; nothing was written, what was stored is kept", {
      ...details,
      errno: ENOSPC,
      remedy: `free space in ${dirname(path)} (df ${dirname(path)}); no restart is needed`,
    });
  }
  if (code.startsWith("SQLITE_READONLY") || code.startsWith("SQLITE_PERM") || code.startsWith("SQLITE_AUTH")) {
    return new TwillError("denied", `may not be written (${code})`, {
      ...details,
      remedy: `give this user the right to write ${path} and its directory, or mount the file system writable`,
    });
  }
  if (code.startsWith("SQLITE_CANTOPEN")) {
    return new TwillError("io", `cannot be opened (${code})`, {
      ...details,
      remedy: `check that ${path} and its directory may be read and written, and that open files are not exhausted`,
    });
  }
  if (code.startsWith("SQLITE_IOERR")) {
    return new TwillError("io", `the file system failed (${code})`, {
      ...details,
      remedy: `look for errors of the disk that holds ${dirname(path)} (dmesg); nothing was acknowledged`,
    });
  }
  return new TwillError("internal", `SQLite failed (${code === "" ? "no code" : code})`, details);
}

function codeOf(error: unknown): string {
  if (error instanceof SQLiteError) return error.code ?? "";
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function freeBytes(path: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
