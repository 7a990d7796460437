import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { TwillError } from "../src/base/errors.ts";

/** The programs that the lab runs. Nodes see the host's files, so these paths hold inside too. */
export interface Programs {
  /** How to call `twill` again: one word when compiled, Bun and the source otherwise. */
  readonly twill: readonly string[];
  /** Folder of the built program and its other names. */
  readonly folder: string;
}

export function findPrograms(): Programs {
  // Inside an executable made by `bun build --compile`, the main module lies in a file system of its own.
  if (Bun.main.startsWith("/$bunfs/")) return { twill: [process.execPath], folder: dirname(process.execPath) };
  return { twill: [process.execPath, Bun.main], folder: join(import.meta.dir, "..", "dist") };
}

/** @throws TwillError `not-found`. */
export function requireProgram(programs: Programs, name: string): string {
  const path = join(programs.folder, name);
  if (existsSync(path)) return path;
  throw new TwillError("not-found", "it is not there", {
    operation: "run program",
    object: path,
    remedy: 'run "npm run build" first',
  });
}
