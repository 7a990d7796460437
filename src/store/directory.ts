import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { TwillError } from "../base/errors.ts";

/**
 * Makes the directory (0700) when its parent exists: a typing error in a long path must not grow a tree.
 * @throws TwillError `io`, naming what is missing or in the way.
 */
export function ensureDirectory(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (found !== undefined) {
    throw new TwillError("io", "is not a directory", { operation: "open directory", object: path });
  }
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    const code = errnoCode(cause);
    if (code === "EEXIST") return;
    throw new TwillError("io", code === "ENOENT" ? `${dirname(path)} does not exist` : "cannot be made", {
      operation: "make directory",
      object: path,
      remedy: code === "ENOENT" ? `mkdir -p ${path}, or correct the path` : `make it by hand: mkdir -p ${path}`,
      cause,
    });
  }
}

/** So that a new or renamed name in the directory outlives a power cut (fsync(2): the file's own sync does not say so). */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** "ENOENT" and the like, where the error carries one. */
export function errnoCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
