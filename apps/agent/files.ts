import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";

/**
 * The whole file or the old one, whatever happens in between. The temporary name starts with a dot and has no known
 * ending, so that kubelet never reads half a conflist.
 */
export function writeAtomically(
  path: string,
  content: string,
  options: { readonly mode?: number; readonly sync?: boolean } = {},
): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const file = openSync(temporary, "w", options.mode ?? 0o644);
    try {
      const bytes = new TextEncoder().encode(content);
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      if (options.sync !== false) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw fileError("write", path, error);
  }
}

/** Writes only when the content differs, so that watchers of the file are not woken for nothing. */
export function writeIfChanged(path: string, content: string, options: { readonly mode?: number } = {}): boolean {
  if (readIfExists(path) === content) return false;
  writeAtomically(path, content, options);
  return true;
}

export function readIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError("read", path, error);
  }
}

/** Creates what is missing of a path and returns the folders made, outermost first. */
export function makeFolder(path: string, mode: number): string[] {
  const missing: string[] = [];
  for (let folder = path; !existsSync(folder); folder = dirname(folder)) missing.unshift(folder);
  try {
    for (const folder of missing) mkdirSync(folder, { mode: folder === path ? mode : 0o755 });
  } catch (error) {
    throw fileError("create", path, error);
  }
  return missing;
}

const ledger = "folders.json";

/** Makes the folders that the agent needs, and remembers in the first one which of them were not there before. */
export function makeFolders(
  stateDir: string,
  others: readonly { readonly path: string; readonly mode: number }[],
): void {
  const made = makeFolder(stateDir, 0o700);
  for (const { path, mode } of others) made.push(...makeFolder(path, mode));
  const known = madeFolders(stateDir);
  const all = [...known, ...made.filter((folder) => !known.includes(folder))];
  writeIfChanged(join(stateDir, ledger), `${JSON.stringify({ version: 1, made: all })}\n`, { mode: 0o600 });
}

/** What makeFolders made, ever, on this node; outermost first. A damaged list removes nothing. */
export function madeFolders(stateDir: string): string[] {
  try {
    const { made } = JSON.parse(readIfExists(join(stateDir, ledger)) ?? "{}") as { made?: unknown };
    return Array.isArray(made) ? made.map(String) : [];
  } catch {
    return [];
  }
}

function fileError(operation: string, path: string, cause: unknown): TwillError {
  const code = (cause as NodeJS.ErrnoException).code;
  const remedies: Record<string, string> = {
    ENOSPC: "the disk is full: free some space; what was there before is unharmed",
    EACCES: "run as root",
    EROFS: "the file system is mounted read-only",
    ENOENT: "its folder does not exist",
  };
  const remedy = code === undefined ? undefined : remedies[code];
  return new TwillError("io", code ?? String(cause), {
    operation,
    object: path,
    cause,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
