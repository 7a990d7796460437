import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Address } from "../../src/base/address.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { encodeLease } from "../../src/intent/flannel/lease.ts";
import { openDatastore } from "../../src/store/open.ts";
import { FaultLab, until } from "./fault-lab.fixture.ts";
import { changeOf, filterStrictly, podPair, routedConfigs, settled } from "./switch.fixture.ts";
import { losses, Traffic } from "./traffic.fixture.ts";

const nodes = ["node1", "node2", "node3"] as const;
const { vxlan, "vxlan with DirectRouting": direct, "another VNI": otherVni, "another port": otherPort } = routedConfigs;
const hostgw = { Network: "10.244.0.0/16", Backend: { Type: "host-gw" } };

/** The agent of the node, and of no other: they share the lab's process ids. */
const signal = (name: string) =>
  `for pid in $(pidof twill-agent); do
     [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ] && kill -${name} $pid
   done; true`;

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.up({ nodes: 3, subnets: 2, pods: 1, config: vxlan });
  await filterStrictly(lab, nodes);
}, 240_000);
afterAll(() => lab?.[Symbol.asyncDispose]());

const traffic = async () =>
  new Traffic(
    await Promise.all(
      [
        ["node1/pod-a", "node2/pod-a"],
        ["node2/pod-a", "node3/pod-a"],
        ["node3/pod-a", "node1/pod-a"],
      ].map(([from = "", to = ""]) => podPair(lab, from, to)),
    ),
    { fullSize: true },
  );
const backend = (args: string) => lab.attempt("node1", `twill backend ${args}`);
const sends = async () => {
  const target = await lab.target();
  const names = new Map([...target.configs].map(([id, network]) => [id, JSON.stringify(network.backend)]));
  return (await lab.leases()).map(({ standing }) => names.get(standing?.sends ?? ""));
};

test("an agent that hangs holds the change, and status says so; rollback from the middle undoes it, without loss", async () => {
  const running = await traffic();
  await lab.on("node2", signal("STOP"));
  try {
    const before = await sends();
    expect((await backend("set vxlan --direct-routing --vni=7 --yes")).status).toBe(0);
    await until(
      async () => (await changeOf(lab, "node1"))?.waitingFor.some(({ node }) => node === "node2") === true,
      "node1 waits",
    );
    await until(
      async () =>
        (await lab.status("node1")).problems.some(
          ({ reason, subject }) => reason === "ChangeWaits" && subject === "node2",
        ),
      "status says for whom",
      40_000,
    );
    expect((await lab.attempt("node1", "twill status")).stdout).toContain("waiting for node2");
    // Its machine is there, so nobody goes on without it.
    expect(await sends()).toEqual(before);
    expect((await backend("status")).stdout).toContain("node2: has not heard of it, or its agent does not answer");
    expect((await backend("rollback --yes")).status).toBe(0);
  } finally {
    await lab.on("node2", signal("CONT"));
  }
  await settled(lab, nodes);
  expect((await lab.status("node1")).network?.backend).toBe("vxlan");
  expect(await lab.on("node2", "ls /sys/class/net")).not.toContain("flannel.7");
  expect(losses(await running.stop())).toEqual([]);
}, 240_000);

test("a machine that is away is not waited for, and joins later without harm to the others", async () => {
  await lab.call("stopNode", { name: "node3" });
  const running = new Traffic([await podPair(lab, "node1/pod-a", "node2/pod-a")], { fullSize: true });
  await lab.storeConfig(otherVni);
  await settled(lab, ["node1", "node2"], 90_000);
  await lab.call("startNode", { name: "node3" });
  await settled(lab, nodes, 90_000);
  expect(losses(await running.stop())).toEqual([]);
  await lab.call("addPod", { node: "node3", pod: "pod-b" });
  expect(await lab.brokenPaths()).toEqual([]);
  for (const node of nodes) expect((await lab.status(node)).problems).toEqual([]);
}, 480_000);

test("host-gw over two links is refused with its reason, by command or by hand, and changes nothing", async () => {
  const before = await lab.target();
  const refused = await backend("set host-gw --yes");
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("are not on one link");
  expect(refused.stdout).toContain("MTU of pods 1450 → 1500");
  await lab.storeConfig(hostgw);
  await until(
    async () => (await lab.status("node1")).problems.some(({ message }) => message.includes("not on one link")),
    "the refusal is said",
  );
  expect(await lab.target()).toEqual(before);
  expect((await lab.status("node2")).network?.backend).toBe("vxlan");
  expect(await lab.brokenPaths()).toEqual([]);
  // What was written goes back to what is in force.
  expect((await backend("rollback --yes")).status).toBe(0);
  await until(async () => (await lab.status("node1")).problems.length === 0, "nothing is wrong any more");
  expect(await lab.target()).toEqual(before);
}, 240_000);

test("a real flanneld in the cluster: every change is refused with its node's name, until it is gone", async () => {
  const store = await openDatastore(lab.datastore);
  try {
    const stranger = {
      node: "worker-9",
      subnets: [parsePrefix("10.244.251.0/24")],
      addresses: ["192.168.2.99" as Address],
      backendType: "vxlan",
      backendData: { 4: { VNI: 7, VtepMAC: "02:00:00:00:00:99" } },
    };
    await store.create("nodes", stranger.node, encodeLease(stranger));
    const before = await lab.target();
    const refused = await backend("set vxlan --port=4789 --yes");
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining("node worker-9 runs flanneld")]);
    await lab.storeConfig(otherPort);
    await until(
      async () => (await lab.status("node3")).problems.some(({ message }) => message.includes("worker-9")),
      "its name is said",
    );
    expect(await lab.target()).toEqual(before);
    expect((await lab.attempt("node1", `twill delete node worker-9 --datastore=${lab.datastore}`)).status).toBe(0);
    await until(async () => (await lab.target()).epoch > before.epoch, "the change is made", 30_000);
    await settled(lab, nodes);
  } finally {
    await store.close();
  }
  await lab.storeConfig(direct);
  await settled(lab, nodes);
  expect(await lab.brokenPaths()).toEqual([]);
}, 240_000);
