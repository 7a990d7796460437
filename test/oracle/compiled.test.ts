import { expect, test } from "bun:test";
import { Evaluator } from "../../src/compile/policy/evaluate.ts";
import { describeFailure, generateCase } from "./case.ts";
import { checkCompiled, compileCluster, disagreement, judgeCompiled, portOf, protocolNumber } from "./compiled.ts";
import { evaluate, type Judgement } from "./evaluate.ts";
import { type Flow, flowText } from "./flow.ts";
import { twillModel } from "./twill-model.ts";

/** Clusters to try; TWILL_ORACLE_CASES for the mass. TWILL_SEED repeats one. */
const cases = Number(process.env.TWILL_ORACLE_CASES ?? 70);
const flowsEach = 60;

test("compiled tables say what the oracle says, of random clusters, policies and flows", () => {
  const only = process.env.TWILL_SEED;
  const first = only === undefined ? Date.now() % 1e9 : Number(only);
  const count = only === undefined ? cases : 1;
  let [asked, denied] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const { cluster, flows } = generateCase(seed, flowsEach);
    const compiled = compileCluster(cluster);
    const evaluator = new Evaluator(twillModel(cluster).model);
    for (const flow of flows) {
      const judgement = evaluate(cluster, flow);
      asked++;
      if (judgement.verdict === "deny") denied++;
      const explained = explainedDifference(evaluator, flow, judgement);
      if (explained !== undefined) throw new Error(`seed ${seed}: ${flowText(flow)}: explained: ${explained}`);
      if (disagreement(judgeCompiled(compiled, cluster, flow), judgement) === undefined) continue;
      throw new Error(describeFailure(seed, cluster, flow, checkCompiled));
    }
  }
  console.log(`seeds ${first} to ${first + count - 1}: ${asked} flows, ${denied} denied`);
  expect(denied).toBeGreaterThan(asked / 20);
}, 3_600_000);

/** What `twill explain` reads out of the policies is the same, and for the same reason. */
function explainedDifference(evaluator: Evaluator, flow: Flow, judgement: Judgement): string | undefined {
  const { from, to } = flow;
  const { egress, ingress } = evaluator.evaluate({
    source: from.address,
    destination: to.address,
    protocol: protocolNumber(flow),
    port: portOf(flow),
  });
  const [out, into] = [egress[0]?.decision, ingress[0]?.decision];
  return disagreement(
    { ...(out === undefined ? {} : { egress: out }), ...(into === undefined ? {} : { ingress: into }) },
    judgement,
  );
}
