import { afterAll, beforeAll, expect, test } from "bun:test";
import { bareCluster, elsewhere } from "./bare.ts";
import { casesOf } from "./cases/all.ts";
import type { Probe } from "./probe.ts";
import { runCase, whole } from "./run.ts";
import { throughServices } from "./services.ts";
import { networkPolicy } from "./standard.ts";

let cluster: ReturnType<typeof bareCluster>;
beforeAll(() => {
  cluster = bareCluster();
}, 60_000);
afterAll(() => cluster.close());

/** By TCP: how often the kernel tells of other refusals, it limits itself. */
test("a policy that rejects is told from one that drops", async () => {
  const rejecting = bareCluster({ deny: "reject" });
  try {
    await rejecting.apply([networkPolicy("x", { podSelector: {} })]);
    const probes = (["y/a", "n1", "outside"] as const).flatMap((from) =>
      ([4, 6] as const).map((family) => ({ from, to: "x/b", protocol: "TCP", port: 80, family }) as const),
    );
    expect(rejecting.nodeOf("x/b")).not.toBe("n1");
    expect(await rejecting.probe(probes, () => "refused")).toEqual(probes.map(() => "refused"));
  } finally {
    await rejecting.close();
  }
}, 120_000);

test("the own node is the own node by any address that it has, known or not; another node is not", async () => {
  const closed = networkPolicy("x", { podSelector: {}, policyTypes: ["Ingress", "Egress"] });
  await cluster.apply([closed]);
  const probes = ["x/a", "x/b", "x/c"].flatMap((from) =>
    cluster.nodes.map((node) => ({ from, to: elsewhere(node), protocol: "TCP", port: 80, family: 4 }) as const),
  );
  const expected = ({ from, to }: Probe) => (to === elsewhere(cluster.nodeOf(from)) ? "refused" : "timed out");
  expect(await cluster.probe(probes, expected)).toEqual(probes.map(expected));
  await cluster.remove([closed]);
}, 60_000);

/** Every case here would be the same work twice: what Services add does not depend on the case. */
test("a sample of the matrix through Service addresses", async () => {
  const services = throughServices(cluster);
  const sample = casesOf(services).filter((_, index) => whole || index % 8 === 4);
  const wrong: string[] = [];
  for (const one of sample) wrong.push(...[(await runCase(services, one)) ?? []].flat());
  console.log(`${sample.length} cases`);
  expect(wrong).toEqual([]);
}, 600_000);

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
