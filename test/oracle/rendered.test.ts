import { expect, test } from "bun:test";
import { describeFailure, generateCase } from "./case.ts";
import { compileCluster } from "./compiled.ts";
import { evaluate } from "./evaluate.ts";
import { checkRendered, droppedBy, renderCluster, rulesetsOf } from "./rendered.ts";

/** Clusters to try; TWILL_ORACLE_CASES for the mass. TWILL_SEED repeats one. */
const cases = Number(process.env.TWILL_ORACLE_CASES ?? 25);

test("rendered rules, interpreted, drop what the oracle denies and nothing else", () => {
  const only = process.env.TWILL_SEED;
  const first = only === undefined ? Date.now() % 1e9 : Number(only);
  const count = only === undefined ? cases : 1;
  let [asked, denied] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const { cluster, flows } = generateCase(seed, 60);
    const rulesets = rulesetsOf(renderCluster(compileCluster(cluster)));
    for (const flow of flows) {
      const { verdict } = evaluate(cluster, flow);
      asked++;
      if (verdict === "deny") denied++;
      if ((droppedBy(rulesets, cluster, flow) === undefined) === (verdict === "allow")) continue;
      throw new Error(describeFailure(seed, cluster, flow, checkRendered));
    }
  }
  console.log(`seeds ${first} to ${first + count - 1}: ${asked} flows, ${denied} denied`);
  expect(denied).toBeGreaterThan(asked / 20);
}, 3_600_000);
