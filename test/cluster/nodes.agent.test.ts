import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import type { KubernetesObject, Node } from "../../src/store/kubernetes/object.ts";
import { CONFIG_MAPS, NODES } from "../../src/store/kubernetes/resource.ts";
import { AgentProcess } from "./agent.fixture.ts";
import type { Manifest } from "./control-plane.fixture.ts";
import { type Deployed, deployed, system } from "./deployed.fixture.ts";

setDefaultTimeout(240_000);

/** The real agent and a real API server, without kubelets and controllers: these are played here. */
const me = "agent-b";
const prefix = "flannel.alpha.coreos.com";
let cluster: Deployed;
let agent: AgentProcess;
let kubeconfig: string;

const netConf = (text: string) =>
  cluster.api.patch(CONFIG_MAPS, { namespace: system, name: "twill-config" }, { data: { "net-conf.json": text } });
const good = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } });

beforeAll(async () => {
  cluster = await deployed();
  await cluster.withoutNodes();
  await netConf(good);
  await register(me);
  kubeconfig = await cluster.agentOn(me);
  agent = await start();
}, 900_000);
afterAll(async () => {
  await agent.stop();
  agent.remove();
});
beforeEach(async () => {
  await netConf(good);
});

const start = async (directory?: string) =>
  new AgentProcess({
    node: me,
    kubeconfig,
    port: Number(new URL(cluster.plane.server).port),
    address: "192.168.7.12",
    ...(directory === undefined ? {} : { directory }),
  });

/** As a kubelet does; `podCIDR` as a controller does. */
async function register(name: string, podCIDR?: string, annotations: Record<string, string> = {}): Promise<void> {
  const spec = podCIDR === undefined ? {} : { spec: { podCIDR, podCIDRs: [podCIDR] } };
  await cluster.node(name, { metadata: { name, annotations }, ...spec });
}
const remove = (name: string) => cluster.api.delete(NODES, { name }).catch(() => {});
const assign = (name: string, podCIDR: string) =>
  cluster.api.patch(NODES, { name }, { spec: { podCIDR, podCIDRs: [podCIDR] } });
const annotate = (name: string, annotations: Record<string, string | null>) =>
  cluster.api.patch(NODES, { name }, { metadata: { annotations } });
/** As flanneld v0.26 leaves a Node. */
const flanneld = (address: string, mac = "0e:10:f4:01:02:03") => ({
  [`${prefix}/kube-subnet-manager`]: "true",
  [`${prefix}/backend-type`]: "vxlan",
  [`${prefix}/backend-data`]: JSON.stringify({ VNI: 1, VtepMAC: mac }),
  [`${prefix}/public-ip`]: address,
});

const node = (name = me) => cluster.api.get<Node>(NODES, { name });
const condition = async () => (await node()).status?.conditions?.find(({ type }) => type === "NetworkUnavailable");
/** `kubectl describe node`, the part that people read: "Warning PodCIDRMissing … message". */
const events = () => cluster.kubectl(["describe", "node", me]).stdout.split("\nEvents:")[1] ?? "";
const routes = () => agent.netns.run("ip", "route", "show", "proto", "84");

/** @throws Error with what it was last. */
async function until<T>(what: () => Promise<T> | T, holds: (value: T) => boolean): Promise<T> {
  let last: T | undefined;
  for (const deadline = performance.now() + 90_000; performance.now() < deadline; await Bun.sleep(200)) {
    last = await what();
    if (holds(last)) return last;
    if (agent.ended) break;
  }
  throw new Error(`it stayed ${JSON.stringify(last, null, 1)}\n${agent.log.slice(-2000)}`);
}
const reason = (wanted: string) => until(condition, (found) => found?.reason === wanted);
const event = (pattern: RegExp) => until(events, (text) => pattern.test(text));

test("a podCIDR that comes late: said until then, and followed at once", async () => {
  expect(await reason("PodCIDRMissing")).toMatchObject({ status: "True" });
  await event(/Warning +PodCIDRMissing .*twill-agent +Node agent-b has no IPv4 podCIDR \(run kube-controller-manager/);
  expect((await agent.status()).waitingFor).toContain("an IPv4 podCIDR of Node agent-b");

  await assign(me, "10.244.1.0/24");
  const up = { status: "False", message: "pods get addresses of 10.244.1.0/24, backend vxlan" };
  expect(await reason("TwillIsUp")).toMatchObject(up);
  const { metadata } = await node();
  expect(metadata.annotations).toMatchObject({
    [`${prefix}/kube-subnet-manager`]: "true",
    [`${prefix}/backend-type`]: "vxlan",
    [`${prefix}/public-ip`]: "192.168.7.12",
  });
  expect(metadata.annotations?.[`${prefix}/backend-data`]).toMatch(/^\{"VNI":1,"VtepMAC":"[0-9a-f:]{17}"\}$/);
  await event(/Normal +TwillIsUp/);
  const status = await agent.status();
  expect(status).toMatchObject({ ready: true, subnetSource: "spec.podCIDRs of Node agent-b", problems: [] });
  expect(status.condition?.reason).toBe("TwillIsUp");
});

test("a node of real flanneld's is a peer as any other, and gone when its Node is", async () => {
  await register("agent-flanneld", "10.244.8.0/24", flanneld("192.168.7.18"));
  await until(routes, (text) => text.includes("10.244.8.0/24 via 10.244.8.0 dev flannel.1 onlink"));
  expect(agent.netns.run("bridge", "fdb", "show", "dev", "flannel.1")).toContain("0e:10:f4:01:02:03 dst 192.168.7.18");
  await remove("agent-flanneld");
  await until(routes, (text) => !text.includes("10.244.8.0"));
});

test("what the administrator overwrites is what the others are told", async () => {
  const address = async () => (await node()).metadata.annotations?.[`${prefix}/public-ip`];
  await annotate(me, { [`${prefix}/public-ip-overwrite`]: "203.0.113.7" });
  await until(address, (found) => found === "203.0.113.7");
  await annotate(me, { [`${prefix}/public-ip-overwrite`]: "here" });
  await until(address, (found) => found === "192.168.7.12");
  await event(/Warning +NodeInvalid .*public-ip-overwrite/);
  await annotate(me, { [`${prefix}/public-ip-overwrite`]: null });
  await until(
    async () => (await agent.status()).problems,
    (problems) => problems.length === 0,
  );
});

test("what somebody else writes into our annotations is put right", async () => {
  await annotate(me, {
    [`${prefix}/backend-type`]: "udp",
    [`${prefix}/public-ip`]: "192.0.2.1",
    "twill.dev/node": "{",
  });
  const annotations = async () => (await node()).metadata.annotations;
  await until(annotations, (found) => found?.[`${prefix}/public-ip`] === "192.168.7.12");
  expect((await annotations())?.[`${prefix}/backend-type`]).toBe("vxlan");
});

test("a Node that is deleted and comes back with another podCIDR, without a restart", async () => {
  await register("agent-peer", "10.244.8.0/24", flanneld("192.168.7.18"));
  await until(routes, (text) => text.includes("10.244.8.0/24"));
  await remove(me);
  await until(
    async () => (await agent.status()).waitingFor,
    (waiting) => waiting.includes("the Node agent-b"),
  );
  // What runs goes on.
  expect(routes()).toContain("10.244.8.0/24");
  await register(me);
  await assign(me, "10.244.77.0/24");
  await until(condition, (found) => found?.message?.includes("10.244.77.0/24") === true);
  expect((await node()).metadata.annotations?.[`${prefix}/public-ip`]).toBe("192.168.7.12");
  expect(agent.netns.run("ip", "address", "show", "flannel.1")).toContain("10.244.77.0/32");
  expect(routes()).toContain("10.244.8.0/24");
  await remove("agent-peer");
});

test("a podCIDR outside Network, or one that another Node has, is said where people look", async () => {
  // The podCIDR is in use: a configuration that does not hold it is refused.
  await netConf(JSON.stringify({ Network: "10.99.0.0/16", Backend: { Type: "vxlan" } }));
  await until(
    async () => (await agent.status()).problems,
    (problems) => problems.some(({ reason, message }) => reason === "RangeInUse" && message.includes("10.244.77.0/24")),
  );
  expect(await condition()).toMatchObject({ reason: "TwillIsUp" });
  await netConf(good);
  await remove(me);
  await register(me, "10.98.1.0/24");
  expect((await reason("PodCIDROutsideNetwork"))?.message).toContain("podCIDR 10.98.1.0/24 of Node agent-b is outside");
  await remove(me);
  await register(me, "10.244.77.0/24");
  await reason("TwillIsUp");
  await register("agent-a", "10.244.77.0/24", flanneld("192.168.7.11"));
  expect((await reason("PodCIDROverlaps"))?.message).toContain("overlaps 10.244.77.0/24 of Node agent-a");
  await event(/Warning +PodCIDROverlaps/);
  await remove("agent-a");
  await reason("TwillIsUp");
});

test("a broken configuration is an event, and the last good one stays in force", async () => {
  await netConf('{ "Network": ');
  await event(
    /Warning +ConfigurationInvalid .*ConfigMap twill-system\/twill-config is invalid; the last good one stays/,
  );
  expect(await condition()).toMatchObject({ status: "False", reason: "TwillIsUp" });
  expect((await agent.status()).network?.rejected).toContain("line 1, column");
  await netConf(good);
  await until(
    async () => (await agent.status()).problems,
    (problems) => problems.length === 0,
  );
});

test("hundreds of Nodes of garbage, a huge annotation and one without an address harm nobody else", async () => {
  const garbage = ["x", "-1", "{", "0.0.0.0", "true", "[".repeat(5000)];
  const names = Array.from({ length: 600 }, (_, index) => `garbage-${index}`);
  const bad = (index: number): Record<string, string> => ({
    [`${prefix}/kube-subnet-manager`]: "true",
    [`${prefix}/backend-type`]: garbage[index % 6] ?? "",
    [`${prefix}/backend-data`]: garbage[Math.floor(index / 6) % 6] ?? "",
    [`${prefix}/public-ip`]: garbage[Math.floor(index / 36) % 6] ?? "",
    "twill.dev/node": garbage[Math.floor(index / 216) % 6] ?? "",
  });
  const podCidr = (index: number) => `10.${245 + (index >> 8)}.${index & 255}.0/24`;
  await Promise.all(names.map((name, index) => register(name, podCidr(index), bad(index))));
  await register("huge", "10.244.100.0/24", { ...flanneld("192.168.7.20"), "twill.dev/node": "x".repeat(200_000) });
  await register("nowhere", "10.244.101.0/24", { [`${prefix}/kube-subnet-manager`]: "true" });
  await register("fine", "10.244.102.0/24", flanneld("192.168.7.21", "0e:10:f4:01:02:04"));
  await until(routes, (text) => text.includes("10.244.102.0/24") && text.includes("10.244.100.0/24"));
  expect(routes().trim().split("\n").length).toBe(2);
  expect(await condition()).toMatchObject({ status: "False", reason: "TwillIsUp" });
  const { problems } = await agent.status();
  expect(problems.length).toBeGreaterThan(3);
  expect(problems.length).toBeLessThan(30);
  // Other Nodes' faults are not this one's events.
  expect(events()).not.toContain("garbage");
  await Promise.all([...names, "huge", "nowhere", "fine"].map(remove));
  await until(
    async () => (await agent.status()).problems,
    (left) => left.length === 0,
  );
});

test("an API server that says nothing any more is noticed by whoever asks, and waited for", async () => {
  agent.cutOff();
  const asked = performance.now();
  const { datastore, ready } = await agent.status();
  expect(datastore).toMatchObject({ reachable: false });
  expect(datastore.reason).toContain("no answer within 2 s");
  expect(performance.now() - asked).toBeLessThan(20_000);
  expect(ready).toBe(true);
  agent.heal();
  await until(
    async () => (await agent.status()).datastore.reachable,
    (reachable) => reachable,
  );
});

test("a cluster without podCIDRs: agents claim their subnets, and meet in the Nodes all the same", async () => {
  await register("agent-claims");
  const claiming = new AgentProcess({
    node: "agent-claims",
    kubeconfig: cluster.plane.certificateKubeconfig("claims", cluster.plane.admin),
    port: Number(new URL(cluster.plane.server).port),
    address: "192.168.7.13",
    flags: ["--subnets=claim"],
  });
  try {
    const status = () => claiming.status().catch(() => undefined);
    const { subnets, subnetSource } = (await until(status, (found) => found?.ready === true)) ?? {};
    expect(subnetSource).toBe("claims in the datastore");
    await until(routes, (text) => text.includes(`${subnets?.[0]} via`));
    // Where Nodes have podCIDRs, these are what the others read: the agent says so.
    await assign("agent-claims", "10.244.200.0/24");
    const said = async () => (await claiming.status()).problems.map(({ message }) => message).join();
    await until(said, (text) => text.includes("the other nodes read something else than this node says"));
  } finally {
    await claiming.stop();
    claiming.remove();
    await remove("agent-claims");
  }
});

test("a restarted agent begins with what it knew, and writes nothing that is there already", async () => {
  const before = await node();
  await agent.stop();
  agent = await start(agent.directory);
  await until(
    () => agent.status().catch(() => undefined),
    (status) => status?.ready === true && status.datastore.reachable,
  );
  await Bun.sleep(1000);
  expect((await node()).metadata.resourceVersion).toBe((before as KubernetesObject).metadata.resourceVersion ?? "");
  expect((before as Manifest).metadata.annotations).toEqual((await node()).metadata.annotations ?? {});
});
