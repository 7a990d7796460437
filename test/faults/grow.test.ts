import { afterAll, beforeAll, expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";
import { podPair, settled } from "./switch.fixture.ts";
import { losses, Traffic } from "./traffic.fixture.ts";

const nodes = ["node1", "node2"] as const;
const old = "10.244.0.0/16";
const fresh = "10.245.0.0/16";
const vxlan = { Backend: { Type: "vxlan" } };
const first = { Network: old, ...vxlan };

let lab: FaultLab;
let traffic: Traffic;
beforeAll(async () => {
  lab = await FaultLab.up({ nodes: 2, subnets: 2, pods: 1, config: first });
  traffic = new Traffic([
    await podPair(lab, "node1/pod-a", "node2/pod-a"),
    await podPair(lab, "node2/pod-a", "node1/pod-a"),
  ]);
}, 60_000);
afterAll(() => lab?.[Symbol.asyncDispose]());

const addressesOf = async (node: string, pod: string) => (await lab.call("addPod", { node, pod })).addresses.join();
const subnetsOf = async (node: string) =>
  (await lab.leases()).find((lease) => lease.node === node)?.subnets.map(String) ?? [];
const ruleset = (node: string) => lab.on(node, "nft list table inet twill");
const claims = async () => (await lab.objects("subnets")).sort();

test("a second range: masquerade and routes know it before any node claims of it; SubnetLen is for new nodes", async () => {
  const grown = { ...first, MoreNetworks: [{ Network: fresh, SubnetLen: 25 }], SubnetLen: 26 };
  const before = await Promise.all(nodes.map(subnetsOf));
  await lab.storeConfig(grown);
  await settled(lab, nodes);
  for (const node of nodes) expect(await ruleset(node)).toContain(`ip daddr ${fresh}`);
  // Who has a subnet keeps it.
  expect(await Promise.all(nodes.map(subnetsOf))).toEqual(before);
  await lab.call("addNode", { name: "node3", subnet: 1, pods: 1 });
  expect(await subnetsOf("node3")).toEqual([expect.stringMatching(/^10\.244\..*\/26$/)]);
  expect(await lab.brokenPaths()).toEqual([]);
}, 90_000);

test("a range that is retired: the plan says so, no new address comes of it, it is given back when empty", async () => {
  const retired = { Network: fresh, MoreNetworks: [{ Network: old, Retired: true }], ...vxlan };
  await lab.on("node1", `echo '${JSON.stringify(retired)}' > /tmp/retired.json`);
  const plan = await lab.attempt("node1", "twill backend apply /tmp/retired.json --plan");
  expect([plan.status, plan.stderr]).toEqual([0, ""]);
  expect(plan.stdout).toMatch(/node2: new pods get addresses of another subnet; 10\.244\..* is given back/);
  expect((await lab.attempt("node1", "twill backend apply /tmp/retired.json --yes --watch")).status).toBe(0);
  await settled(lab, ["node1", "node2", "node3"]);
  await until(async () => (await subnetsOf("node1")).some((subnet) => subnet.startsWith("10.245.")), "a new subnet");
  // The old pods keep their addresses and talk; the new one gets another.
  expect(await addressesOf("node1", "pod-b")).toStartWith("10.245.");
  expect((await subnetsOf("node1")).some((subnet) => subnet.startsWith("10.244."))).toBe(true);
  expect(await lab.brokenPaths()).toEqual([]);
  for (const node of nodes) expect((await lab.status(node)).problems).toEqual([]);
  // Not before it is empty.
  const gone = await lab.attempt(
    "node1",
    `echo '${JSON.stringify({ Network: fresh, ...vxlan })}' | twill backend apply - --yes`,
  );
  expect([gone.status, gone.stderr]).toEqual([
    1,
    expect.stringContaining("no range of the new configuration holds it"),
  ]);

  expect(losses(await traffic.stop())).toEqual([]);
  for (const node of ["node1", "node2", "node3"]) await lab.call("deletePod", { node, pod: "pod-a" });
  await until(
    async () => (await claims()).every((name) => name.startsWith("10.245.")),
    () => "the old subnets are free",
    30_000,
  );
  for (const node of ["node1", "node2", "node3"])
    await until(
      async () => (await subnetsOf(node)).every((subnet) => subnet.startsWith("10.245.")),
      "not told any more",
    );
  await lab.storeConfig({ Network: fresh, ...vxlan });
  await settled(lab, ["node1", "node2", "node3"]);
  for (const node of nodes) expect(await ruleset(node)).not.toContain(old);
  await lab.call("addPod", { node: "node2", pod: "pod-b" });
  expect(await lab.brokenPaths()).toEqual([]);
  for (const node of nodes) expect((await lab.status(node)).problems).toEqual([]);
}, 180_000);
