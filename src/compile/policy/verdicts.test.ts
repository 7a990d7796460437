import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import type { PolicyModel } from "../../model/policy.ts";
import { compilePolicy } from "./compiler.ts";
import { Evaluator, type Judgement } from "./evaluate.ts";
import type { Flow, Hook } from "./flow.ts";
import { verdictOf } from "./lookup.ts";
import { nodeNames, RandomPolicy } from "./random-model.fixture.ts";

test("the tables of each node say what reading the policies says, and for the same reason", () => {
  for (let seed = 1; seed <= Number(process.env.TWILL_POLICY_SEEDS ?? 150); seed++) {
    const random = new RandomPolicy(seededRandom(seed));
    const model = random.model();
    const states = nodeNames.map((node) => [node, compilePolicy(model, { node })] as const);
    const evaluator = new Evaluator(model);
    for (let count = 0; count < 60; count++) {
      const flow = random.flow(model);
      const evaluation = evaluator.evaluate(flow);
      for (const [node, state] of states) {
        const hook = hookOf(model, node, flow);
        const found = verdictOf(state, flow, hook);
        const context = { seed, node, flow, hook };
        if (evaluation.exempt !== undefined) {
          expect({ ...context, verdict: found.verdict }).toEqual({ ...context, verdict: "allow" });
          continue;
        }
        if (hook === "output") continue;
        const here = (judgements: readonly Judgement[]) =>
          judgements.filter(({ endpoint }) => model.endpoints.get(endpoint)?.node === node);
        const [egress, ingress] = [here(evaluation.egress), here(evaluation.ingress)];
        const denied = (judgements: readonly Judgement[]) =>
          judgements.some(({ decision }) => decision.verdict === "deny");
        const verdict = denied(egress) || (hook === "forward" && denied(ingress)) ? "deny" : "allow";
        expect({ ...context, verdict: found.verdict }).toEqual({ ...context, verdict });
        const [only] = egress;
        if (egress.length === 1 && only !== undefined && found.egress !== undefined) {
          expect({ ...context, decision: found.egress.decision }).toEqual({ ...context, decision: only.decision });
        }
      }
    }
  }
}, 60_000);

/** A node's addresses are its own, unless an endpoint claims one. */
function hookOf(model: PolicyModel, node: string, { source, destination }: Flow): Hook {
  const own = model.nodes.get(node)?.addresses ?? [];
  const isPod = (address: string) =>
    [...model.endpoints.values()].some(({ addresses }) => addresses.some((one) => one === address));
  if (own.includes(source) && !isPod(source)) return "output";
  return own.includes(destination) && !isPod(destination) ? "input" : "forward";
}
