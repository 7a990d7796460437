import { expect, setDefaultTimeout, test } from "bun:test";
import type { Flow } from "../../src/model/flow.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

type Told = Flow & { readonly node: string; readonly time: string };

const web = { podSelector: { matchLabels: { role: "web" } } };
const fromClients = { from: [{ podSelector: { matchLabels: { role: "client" } } }], ports: [{ port: "http" }] };

async function flows(cluster: PolicyLab, node: string, ...flags: string[]): Promise<Told[]> {
  const text = await cluster.lab.on(node, `twill flows -o json ${flags.join(" ")}`);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Told => JSON.parse(line));
}

/** As they become: what is new is told after a second. */
async function told(
  cluster: PolicyLab,
  node: string,
  matches: (flow: Told) => boolean,
  ...flags: string[]
): Promise<Told> {
  let found: Told | undefined;
  let all: readonly Told[] = [];
  await until(
    async () => {
      all = await flows(cluster, node, ...flags);
      found = all.find(matches);
      return found !== undefined;
    },
    () => `not told: ${JSON.stringify(all.slice(-5))}`,
    30_000,
  );
  if (found === undefined) throw new Error("not told");
  return found;
}

test("twill flows names who was denied, who was allowed, and the rule, on each end's node", async () => {
  await using cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2 });
  const { lab } = cluster;
  const [web1, web2, client2] = ["node1/pod-a", "node2/pod-a", "node2/pod-b"] as const;

  // Without any policy: what the least policy will be suggested from.
  expect(await cluster.reach(web2, web1)).toBe("answer");
  const open = await told(cluster, "node1", ({ port }) => port === 8080, "--allowed", `--to ${cluster.address(web1)}`);
  expect(open).toMatchObject({ verdict: "allow", protocol: 6, node: "node1", destination: { kind: "pod" } });
  expect(open).not.toHaveProperty("ingress");

  await cluster.policy("default", "web", { ...web, policyTypes: ["Ingress"], ingress: [fromClients] });
  await cluster.becomes(web2, web1, "silence");
  await cluster.becomes(client2, web1, "answer");
  const denied = await told(cluster, "node1", ({ port }) => port === 8080, "--denied");
  const policy = { kind: "NetworkPolicy", namespace: "default", name: "web" };
  expect(denied).toMatchObject({
    verdict: "deny",
    source: { kind: "pod", address: cluster.address(web2), node: "node2", labels: { role: "web" } },
    destination: { kind: "pod", address: cluster.address(web1), node: "node1" },
    port: 8080,
    ingress: { by: "tier", tier: "default", isolatedBy: [policy] },
  });
  const allowed = await told(cluster, "node1", ({ ingress }) => ingress?.by === "rule", "--allowed");
  expect(allowed).toMatchObject({
    source: { address: cluster.address(client2), labels: { role: "client" } },
    ingress: { by: "rule", policy, rule: 0, tier: "default" },
  });
  const text = await lab.on("node1", `twill flows --denied --from ${cluster.address(web2)}`);
  expect(text).toMatch(
    /denied {2}default\/\S+ → default\/\S+:8080 TCP.* — ingress: no rule of NetworkPolicy default\/web\n/,
  );
  expect((await flows(cluster, "node1", "--denied", "--from outside")).filter(({ port }) => port === 8080)).toEqual([]);

  // The other node asks this one; it decided nothing itself.
  const isDenied = ({ port }: Told) => port === 8080;
  const asked = await told(cluster, "node2", (flow) => isDenied(flow) && flow.node === "node1", "--all", "--denied");
  expect(asked.ingress).toEqual(denied.ingress);
  expect((await flows(cluster, "node2", "--denied")).filter(isDenied)).toEqual([]);

  // Followed, while it happens.
  const end = await lab.listen("node1", "exec twill flows --follow --denied --since 0s");
  expect(await cluster.reach(web2, web1, 8081)).toBe("silence");
  await Bun.sleep(4000);
  expect(await end()).toContain(":8081 TCP");

  const packets = await lab.metric("node1", "twill_policy_packets_total");
  expect(packets.get('direction="ingress",verdict="deny"') ?? 0).toBeGreaterThan(0);
  const status = await lab.status("node1");
  expect(status.problems).toEqual([]);

  // Killed at once: the next agent goes on with the same history.
  const before = await flows(cluster, "node1", "--denied");
  await lab.agent("node1", "kill");
  const dead = await lab.attempt("node2", "twill flows --all --denied");
  expect(dead.status).toBe(0);
  expect(dead.stderr).toContain("node1:");
  await lab.agent("node1", "start");
  await until(async () => (await lab.status("node1")).ready, "it is up again", 40_000);
  const after = await flows(cluster, "node1", "--denied");
  expect(after.slice(0, before.length)).toEqual(before);
  // The kernel's numbers are known again: what is denied now is named, too.
  expect(await cluster.reach(web2, web1, 8082)).toBe("silence");
  const again = await told(cluster, "node1", ({ port }) => port === 8082, "--denied");
  expect(again.ingress).toEqual(denied.ingress);
});
