import { afterAll, beforeAll, expect, test } from "bun:test";
import { casesOf } from "./cases/all.ts";
import { changeCases } from "./cases/changes.ts";
import { furtherCases } from "./cases/further.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { labCluster } from "./lab.ts";
import { runCase, whole } from "./run.ts";

let cluster: ConformanceCluster;
beforeAll(async () => {
  cluster = await labCluster();
}, 120_000);
afterAll(() => cluster?.close(), 60_000);

/** What depends on the agents, and a sample of the rest, which the bare namespaces run whole. */
test("the matrix in a lab", async () => {
  const all = casesOf(cluster);
  const sample = whole
    ? all
    : [...all.filter((_, index) => index % 16 === 5), ...changeCases, ...furtherCases(cluster)];
  const cases = new Map(sample.map((one) => [one.name, one]));
  const wrong: string[] = [];
  for (const one of cases.values()) {
    const text = await runCase(cluster, one);
    if (text !== undefined) wrong.push(text);
    expect(wrong.length, wrong.join("\n\n\n")).toBeLessThan(3);
  }
  console.log(`${cases.size} cases`);
  if (wrong.length > 0) throw new Error(wrong.join("\n\n\n"));
}, 900_000);
