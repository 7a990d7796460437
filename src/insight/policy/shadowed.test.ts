import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { type Policy, policyName } from "../../model/policy.ts";
import { diffPolicies } from "./diff.ts";
import { randomCluster } from "./random-cluster.fixture.ts";
import { shadowedRules } from "./shadowed.ts";

test("a rule that never counts can be taken away, and nothing opens or closes", () => {
  let taken = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const cluster = randomCluster(seededRandom(seed), { pods: 8, policies: 8 });
    for (const { place, direction } of shadowedRules(cluster)) {
      const policy = cluster.policies.get(place.policy);
      if (policy === undefined || direction === undefined) throw new Error(`no ${place.policy}`);
      const rules = policy[direction]?.filter((_, index) => index + 1 !== place.rule) ?? [];
      const without: Policy = { ...policy, [direction]: rules };
      const after = { ...cluster, policies: new Map(cluster.policies).set(policyName(policy.id), without) };
      expect({ seed, place, changes: diffPolicies(cluster, after).changes }).toEqual({ seed, place, changes: [] });
      taken++;
    }
  }
  expect(taken).toBeGreaterThan(20);
});
