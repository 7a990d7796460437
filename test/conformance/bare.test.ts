import { afterAll, beforeAll, expect, test } from "bun:test";
import { bareCluster } from "./bare.ts";
import { casesOf } from "./cases/all.ts";
import { runCase } from "./run.ts";

let cluster: ReturnType<typeof bareCluster>;
beforeAll(() => {
  cluster = bareCluster();
}, 60_000);
afterAll(() => cluster.close());

test("the matrix on bare namespaces", async () => {
  const cases = casesOf(cluster);
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  const only = process.env.TWILL_CASE;
  const wrong: string[] = [];
  for (const one of cases) {
    if (only !== undefined && !one.name.includes(only)) continue;
    const text = await runCase(cluster, one);
    if (text !== undefined) wrong.push(text);
  }
  console.log(`${cases.length} cases`);
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${cases.length} cases\n\n${wrong.join("\n\n\n")}`);
}, 600_000);
