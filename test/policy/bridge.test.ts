import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

test("on a bridge a pod cannot take another's address, as long as there is policy; new pods can talk, an agent's restart included", async () => {
  await using cluster = await PolicyLab.up({
    ...{ nodes: 1, subnets: 1, pods: 2 },
    agentFlags: ["--attachment=bridge"],
  });
  const { lab } = cluster;
  const [a, b] = ["node1/pod-a", "node1/pod-b"] as const;
  const victim = await cluster.run("node1", "default", "victim", { role: "web" });
  const tables = () => lab.on("node1", "nft list tables bridge");
  expect(await tables()).toBe("");
  const forged = `curl -s -o /dev/null -m 1 --interface ${cluster.address(victim)} http://${cluster.address(b)}:8080/`;
  const stolen = async (): Promise<number> => {
    await lab.on(a, `ip address add ${cluster.address(victim)}/32 dev eth0; ip neighbour flush all`);
    const before = await dropped();
    await lab.attempt(a, forged);
    await lab.on(a, `ip address del ${cluster.address(victim)}/32 dev eth0`);
    return (await dropped()) - before;
  };
  const dropped = async () =>
    Number(/counter packets (\d+)/.exec(await lab.on("node1", "nft list chain bridge twill from_pod"))?.[1] ?? -1);

  await cluster.policy("default", "all", { podSelector: {}, policyTypes: ["Ingress"], ingress: [{}] });
  await until(async () => (await tables()).includes("twill"), "the table against forged frames", 30_000);
  expect(await cluster.reach(a, b)).toBe("answer");
  expect(await stolen()).toBeGreaterThan(0);
  const late = await cluster.run("node1", "default", "late", { role: "web" });
  expect([await cluster.reach(late, a), await cluster.reach(b, late)]).toEqual(["answer", "answer"]);

  await lab.agent("node1", "kill");
  expect(await cluster.reach(a, late)).toBe("answer");
  await lab.agent("node1", "start");
  const later = await cluster.run("node1", "default", "later", { role: "web" });
  expect([await cluster.reach(later, a), await cluster.reach(late, a)]).toEqual(["answer", "answer"]);
  expect(await stolen()).toBeGreaterThan(0);
  await cluster.end(late);
  expect(await cluster.reach(later, b)).toBe("answer");
  expect((await lab.status("node1")).problems).toEqual([]);
});
