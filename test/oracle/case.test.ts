import { expect, test } from "bun:test";
import { asYaml, describeFailure, generateCase } from "./case.ts";
import { evaluate } from "./evaluate.ts";

test("a case is a function of its seed, and every seed another", () => {
  expect(generateCase(7, 20)).toEqual(generateCase(7, 20));
  expect(new Set(Array.from({ length: 30 }, (_, seed) => asYaml(generateCase(seed, 0).cluster))).size).toBe(30);
});

test("random cases decide in every way that the specifications know, both verdicts often", () => {
  const seen = new Map<string, number>();
  for (let seed = 0; seed < 200; seed++) {
    const { cluster, flows } = generateCase(seed, 20);
    for (const flow of flows) {
      const { egress, ingress, verdict } = evaluate(cluster, flow);
      for (const reason of [...(egress?.by ?? []), ...(ingress?.by ?? [])]) {
        const what = reason.by === "rule" ? `${reason.policy.split(" ")[0]} ${verdict}` : reason.by;
        seen.set(what, (seen.get(what) ?? 0) + 1);
      }
    }
  }
  const ways = ["NetworkPolicy allow", "ClusterNetworkPolicy allow", "ClusterNetworkPolicy deny"];
  const all = [...ways, "isolated", "itself", "own-node", "no-policy"];
  expect(all.filter((way) => (seen.get(way) ?? 0) < 40)).toEqual([]);
});

test("a failure shrinks to what is needed for it", () => {
  // Pretended: whatever a ClusterNetworkPolicy denies is let through.
  const wrong = (reason: { by: string; policy?: string } | undefined) => reason?.policy?.startsWith("Cluster") === true;
  for (let seed = 0; ; seed++) {
    const { cluster, flows } = generateCase(seed, 20);
    const check: Parameters<typeof describeFailure>[3] = (_cluster, _flow, { ingress }) =>
      ingress?.verdict === "deny" && wrong(ingress.by[0]) ? "allow" : undefined;
    const flow = flows.find((one) => check(cluster, one, evaluate(cluster, one)) !== undefined);
    if (flow === undefined) continue;
    const text = describeFailure(seed, cluster, flow, check);
    expect(text).toContain(`seed ${seed}: `);
    expect(text).toContain("other:  allow");
    expect(text.match(/kind: (Pod|NetworkPolicy|ClusterNetworkPolicy)\n/g)?.length ?? 0).toBeLessThanOrEqual(3);
    expect(text.match(/action: /g)).toHaveLength(1);
    return;
  }
});
