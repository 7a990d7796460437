import { afterAll, beforeAll, expect, test } from "bun:test";
import { casesOf } from "../conformance/cases/all.ts";
import type { ConformanceCluster } from "../conformance/cluster.ts";
import { kubernetesCluster } from "../conformance/kubernetes.ts";
import { runCase, whole } from "../conformance/run.ts";
import { testCluster } from "./cluster.fixture.ts";

let cluster: ConformanceCluster;
beforeAll(async () => {
  cluster = await kubernetesCluster(await testCluster());
}, 600_000);
afterAll(() => cluster?.close(), 120_000);

/** Each object goes through kubectl, a second or more: all cases with TWILL_CONFORMANCE=whole. */
test("the matrix on Kubernetes", async () => {
  const cases = casesOf(cluster).filter((_, index) => whole || index % 8 === 3);
  const wrong: string[] = [];
  for (const one of cases) {
    const text = await runCase(cluster, one);
    if (text !== undefined) wrong.push(text);
  }
  console.log(`${cases.length} cases`);
  expect(wrong.join("\n\n\n")).toBe("");
}, 1_800_000);
