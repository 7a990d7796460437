import { expect, test } from "bun:test";
import { PolicyIndex } from "../../src/insight/policy/applied.ts";
import { RuleUses } from "../../src/insight/policy/rule-uses.ts";
import type { DecisionUse } from "../../src/model/decision-use.ts";
import { sceneModel } from "./policy-scene.fixture.ts";
import { policyShowText } from "./policy-show-text.ts";
import { paint } from "./status-text.ts";

test("all that decides about a pod, in order, with what each rule did", () => {
  const model = sceneModel();
  const pod = model.endpoints.get("db/postgres-0");
  if (pod === undefined) throw new Error("it is in the scene");
  const index = new PolicyIndex(model);
  const uses = new RuleUses();
  const policy = { kind: "NetworkPolicy", namespace: "db", name: "allow-web" } as const;
  const use: DecisionUse = {
    number: 1,
    decision: { direction: "ingress", verdict: "allow", log: false, reason: { by: "rule", policy, rule: 0 } },
    ...{ packets: 2, bytes: 120, lastHit: 40_000 },
  };
  uses.add([use, { ...use, number: 2, decision: { ...use.decision, log: true }, packets: 1, bytes: 60 }]);
  const directions = (["ingress", "egress"] as const).map((direction) => ({
    direction,
    tiers: index.applied(pod, direction),
  }));
  const view = { pod: "db/postgres-0", where: "10.244.2.7, node2", directions, uses };
  expect(`\n${policyShowText(view, 100_000, paint(false))}`).toBe(`
db/postgres-0 (10.244.2.7, node2)

in: the first rule that matches decides
  tier default
    NetworkPolicy db/allow-web (scene.yaml line 41)
      allow  1: from pods with app=web in namespaces with kubernetes.io/metadata.name=shop, TCP port sql (line 47)  [3 packets, 180 bytes, last 60s ago]
      allow  2: from 192.168.0.0/16 but 192.168.5.0/24, TCP 5432 (line 51)
    NetworkPolicy db/default-deny (scene.yaml line 34)
      (no rule: it only isolates)
    deny   everything else

out: everything is allowed, for no policy selects it
`);
  expect(uses.unused(model)).toMatchObject([{ policy: "NetworkPolicy db/allow-web", rule: 2, line: 51 }]);
});
