import { expect, test } from "bun:test";
import { describeFailure, generateCase } from "./case.ts";
import { checkCompiled, compileCluster, disagreement, judgeCompiled } from "./compiled.ts";
import { evaluate } from "./evaluate.ts";

/** Clusters to try; TWILL_ORACLE_CASES for the mass. TWILL_SEED repeats one. */
const cases = Number(process.env.TWILL_ORACLE_CASES ?? 100);
const flowsEach = 60;

test("compiled tables say what the oracle says, of random clusters, policies and flows", () => {
  const only = process.env.TWILL_SEED;
  const first = only === undefined ? Date.now() % 1e9 : Number(only);
  const count = only === undefined ? cases : 1;
  let [asked, denied] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const { cluster, flows } = generateCase(seed, flowsEach);
    const compiled = compileCluster(cluster);
    for (const flow of flows) {
      const judgement = evaluate(cluster, flow);
      asked++;
      if (judgement.verdict === "deny") denied++;
      if (disagreement(judgeCompiled(compiled, cluster, flow), judgement) === undefined) continue;
      throw new Error(describeFailure(seed, cluster, flow, checkCompiled));
    }
  }
  console.log(`seeds ${first} to ${first + count - 1}: ${asked} flows, ${denied} denied`);
  expect(denied).toBeGreaterThan(asked / 20);
}, 3_600_000);
