import { expect, setDefaultTimeout, test } from "bun:test";
import type { Address } from "../../src/base/address.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { losses, type Pair, Traffic } from "../faults/traffic.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

const fromClients = {
  podSelector: { matchLabels: { role: "web" } },
  policyTypes: ["Ingress"],
  ingress: [{ from: [{ podSelector: { matchLabels: { role: "client" } } }] }],
};

async function pair(cluster: PolicyLab, from: string, to: string): Promise<Pair> {
  const [source, destination] = [cluster.address(from) as Address, cluster.address(to) as Address];
  return {
    name: `${from} → ${to}`,
    from: await cluster.lab.netns(from),
    to: await cluster.lab.netns(to),
    source,
    destination,
  };
}

/** Streams that a policy to come allows, and one that it does not. */
const begun = async (cluster: PolicyLab) => ({
  allowed: new Traffic([
    await pair(cluster, "node2/pod-b", "node1/pod-a"),
    await pair(cluster, "node1/pod-b", "node1/pod-a"),
  ]),
  denied: new Traffic([await pair(cluster, "node2/pod-a", "node1/pod-a")]),
});

test("keep: what was begun before a policy goes on, what begins is judged", async () => {
  await using cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2 });
  const { allowed, denied } = await begun(cluster);
  await Bun.sleep(300);
  await cluster.policy("default", "web", fromClients);
  await cluster.becomes("node2/pod-a", "node1/pod-a", "silence");
  await Bun.sleep(500);
  expect(losses([...(await allowed.stop()), ...(await denied.stop())])).toEqual([]);
});

test("recheck: what would be denied now is cut, and nothing else; a denied packet is answered when that is wished", async () => {
  await using cluster = await PolicyLab.up({
    ...{ nodes: 2, subnets: 1, pods: 2 },
    agentFlags: ["--policy-established=recheck", "--policy-denied=reject"],
  });
  // From the first policy on connections can be marked; those from before are forgotten, and judged anew.
  const old = await begun(cluster);
  await Bun.sleep(300);
  await cluster.policy("default", "web", fromClients);
  await cluster.becomes("node2/pod-a", "node1/pod-a", "refusal");
  const stalls = async (traffic: Traffic) => {
    await until(() => traffic.pending > 300, "what is denied now is cut");
    await traffic.stop();
  };
  await stalls(old.denied);
  expect(losses(await old.allowed.stop())).toEqual([]);

  await cluster.policy("default", "web", { ...fromClients, ingress: [{}] });
  await cluster.becomes("node2/pod-a", "node1/pod-a", "answer");
  const later = await begun(cluster);
  await Bun.sleep(300);
  expect(later.denied.pending).toBeLessThan(50);
  await cluster.policy("default", "web", fromClients);
  await stalls(later.denied);
  expect(losses(await later.allowed.stop())).toEqual([]);
});
