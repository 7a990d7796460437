import { expect, test } from "bun:test";
import { dirname, join, relative } from "node:path";

/**
 * The plugin is a process per pod: what it loads is time that every pod waits. This holds its import graph, so that nothing
 * heavy slips in behind a helpful re-export.
 */
const root = join(import.meta.dir, "../..");

async function graph(
  file: string,
  seen = new Map<string, readonly string[]>(),
): Promise<Map<string, readonly string[]>> {
  if (seen.has(file)) return seen;
  const source = await Bun.file(file).text();
  const imports = new Bun.Transpiler({ loader: "ts" }).scanImports(source).map(({ path }) => path);
  seen.set(file, imports);
  const atStart = imports.filter((path) => !source.includes(`require("${path}")`));
  for (const path of atStart) if (path.startsWith(".")) await graph(join(dirname(file), path), seen);
  return seen;
}

test("the plugin loads no datastore, no worker, no netlink, no parser, no node:fs, and nothing of the agent", async () => {
  const files = await graph(join(import.meta.dir, "main.ts"));
  const ours = [...files.keys()].map((file) => relative(root, file));
  const outside = new Set([...files.values()].flat().filter((path) => !path.startsWith(".")));
  expect([...outside].toSorted()).toEqual(["bun:ffi"]);
  const heavy =
    /^src\/(store|ipam|wire|apply|attach|compile|render|backend|model|insight|intent)\/|^apps\/(agent|cli)\/|poller|rtnl|nft/;
  expect(ours.filter((file) => heavy.test(file))).toEqual([]);
  expect(ours.length).toBeLessThan(25);
});
