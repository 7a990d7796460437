import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import { type ManifestFile, readManifests, type WrittenObject } from "../../src/intent/kubernetes/manifest.ts";
import { boolean, type FlagSpec, text, withLetter } from "../flags.ts";
import type { Output } from "./command.ts";

/** Repeated, not cut at commas, which a path may have. */
const files: FlagSpec<readonly string[]> = {
  kind: "list",
  value: "FILE",
  letter: "f",
  help: "a file of Kubernetes' objects, a folder of such files, or - for standard input; may be repeated",
  fallback: [],
  parse: (given) => [given],
};

export const manifestFlags = {
  file: files,
  recursive: withLetter("R", boolean(false, "folders inside of folders, too")),
  namespace: withLetter("n", text("default", "of objects that name none", "NAMESPACE")),
};

interface Given {
  readonly file: readonly string[];
  readonly recursive: boolean;
  readonly namespace: string;
}

/**
 * All objects of the files, checked; what is most likely not meant goes to stderr.
 * @throws TwillError for the first thing wrong, naming file, line and field; `io` for a file that cannot be read.
 */
export function readGiven({ file, recursive, namespace }: Given, output: Output): readonly WrittenObject[] {
  const paths = file.flatMap((path) => (path === "-" ? ["-"] : listFiles(path, recursive, true)));
  const objects = readManifests(paths.map(readFile), namespace);
  if (objects.length === 0) {
    throw new TwillError("invalid", "there is no object in it", { operation: "read", object: file.join(", ") });
  }
  for (const { file: source, warnings } of objects) {
    for (const { line, path, message, remedy } of warnings) {
      output.error(`warning: ${source} line ${line}: ${path}: ${message} (${remedy})\n`);
    }
  }
  return objects;
}

/** A folder's files by their names' order, as kubectl takes them. */
function listFiles(path: string, recursive: boolean, named: boolean): readonly string[] {
  const found = attempt(path, () => statSync(path));
  if (!found.isDirectory()) return named || /\.(?:ya?ml|json)$/.test(path) ? [path] : [];
  if (!named && !recursive) return [];
  const entries = attempt(path, () => readdirSync(path).sort());
  const files = entries.flatMap((entry) => listFiles(join(path, entry), recursive, false));
  if (named && files.length === 0) {
    const inside = recursive ? "" : ", or give -R for folders inside";
    throw new TwillError("invalid", "no .yaml, .yml or .json lies there", {
      operation: "read",
      object: path,
      remedy: `name a folder with manifests${inside}`,
    });
  }
  return files;
}

const readFile = (path: string): ManifestFile => ({
  source: path === "-" ? "standard input" : path,
  text: attempt(path, () => readFileSync(path === "-" ? 0 : path, "utf8")),
});

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const message = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new TwillError("io", message, { operation: "read", object: path, remedy: "name a file that can be read" });
  }
}
