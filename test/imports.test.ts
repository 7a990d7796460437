import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/**
 * The import table of docs/design/DESIGN.md, held. Each entry: what a folder may import of ours, and why no more.
 * `outside`: modules that are not ours and may be imported there although they do I/O.
 */
interface Layer {
  readonly may: readonly string[];
  readonly outside?: readonly string[];
  readonly why: string;
}

const layers: Readonly<Record<string, Layer>> = {
  "src/base": { may: [], why: "everything stands on base, so base stands on nothing" },
  "src/model": { may: ["src/base"], why: "types only: whoever needs the model must not drag in a stage" },
  "src/objects": { may: ["src/base"], why: "shared by render and apply, so neither may leak into it" },
  "src/wire": { may: ["src/base", "src/objects"], why: "pure codecs: bytes in, objects out; fuzzed without a kernel" },
  "src/store": {
    may: ["src/base"],
    outside: ["bun:sqlite", "node:fs", "node:fs/promises", "node:path"],
    why: "an engine knows keys and bytes, never what they mean",
  },
  "src/intent": {
    may: ["src/base", "src/model"],
    outside: ["yaml"],
    why: "what people write ↔ the model, without a datastore or a kernel",
  },
  "src/ipam": {
    may: ["src/base", "src/model", "src/store"],
    outside: ["bun:sqlite", "node:fs", "node:path"],
    why: "decides and commits addresses; knows no kernel and no file format of people",
  },
  "src/backend": { may: ["src/base", "src/model"], why: "pure: its result depends on its arguments alone" },
  "src/compile": {
    may: ["src/base", "src/model", "src/backend"],
    why: "model → NodeState, a function of the current state",
  },
  "src/switch": {
    may: ["src/base", "src/model", "src/backend"],
    why: "decides on what all nodes published; who publishes and applies is not its business",
  },
  "src/render": { may: ["src/base", "src/model", "src/objects"], why: "NodeState → kernel objects, pure" },
  "src/kernel": {
    may: ["src/base", "src/wire", "src/objects"],
    outside: ["bun:ffi", "node:fs", "node:path", "node:os", "node:worker_threads"],
    why: "the only place with FFI",
  },
  "src/apply": {
    may: ["src/base", "src/wire", "src/objects", "src/kernel"],
    why: "knows kernel objects, not why they are wanted",
  },
  "src/attach": {
    may: ["src/base", "src/model", "src/objects", "src/kernel"],
    outside: ["node:crypto"],
    why: "a pod's interface, whatever the cluster's network",
  },
  "src/rpc": {
    may: ["src/base", "src/model", "src/kernel"],
    outside: ["node:crypto", "node:dgram"],
    why: "a protocol, not what answers it",
  },
  "src/insight": {
    may: ["src/base", "src/model", "src/objects", "src/compile", "src/wire", "src/kernel", "src/rpc"],
    why: "answers from model, NodeState and kernel; changes nothing",
  },
};

const root = join(import.meta.dir, "..");

function sources(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []; // still to come
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith(".ts") && !/\.(test|contract|fixture)\.ts$/.test(path) ? [path] : [];
  });
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  const found = new Bun.Transpiler({ loader: "ts" }).scanImports(text).map((entry) => entry.path);
  // The transpiler drops type-only imports; the table counts them too.
  for (const match of text.matchAll(/^(?:import|export)\s[^;]*?from\s+"([^"]+)"/gm)) found.push(match[1] ?? "");
  return [...new Set(found)];
}

const layerOf = (path: string): string =>
  path
    .split("/")
    .slice(0, path.startsWith("src/") ? 2 : 1)
    .join("/");

for (const [layer, rule] of Object.entries(layers)) {
  test(`${layer} imports only ${rule.may.join(", ") || "nothing of ours"}: ${rule.why}`, () => {
    const wrong: string[] = [];
    for (const file of sources(layer)) {
      for (const target of importsOf(file)) {
        if (target.startsWith(".")) {
          const resolved = relative(root, normalize(join(root, dirname(file), target)));
          const other = layerOf(resolved);
          if (other !== layer && !rule.may.includes(other)) wrong.push(`${file} imports ${resolved}`);
        } else if (!(rule.outside ?? []).includes(target)) {
          wrong.push(`${file} imports ${target}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
}

test("every folder of src is in the table, and nobody imports apps or lab from src", () => {
  const folders = readdirSync(join(root, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map((entry) => `src/${entry.name}`).filter((folder) => !(folder in layers))).toEqual([]);
});

test("only src/kernel loads bun:ffi", () => {
  const users = ["src", "apps", "lab"].flatMap(sources).filter((file) => importsOf(file).includes("bun:ffi"));
  expect(users.filter((file) => !file.startsWith("src/kernel/"))).toEqual([]);
});
