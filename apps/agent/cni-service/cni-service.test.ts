import { expect, test } from "bun:test";
import { parseAddress } from "../../../src/base/address.ts";
import { failure, parsed, testNode, testPod } from "./test-node.fixture.ts";

const k8s = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=1b9d6bcd-bbfd-4b2d";

test("ADD gives a pod addresses, interfaces in the order that other plugins expect, and routes", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const result = parsed(node.cni("ADD", "c1", pod, { args: k8s, config: { dns: { nameservers: ["10.96.0.10"] } } }));
  expect(result).toMatchObject({
    cniVersion: "1.1.0",
    interfaces: [
      { name: expect.stringMatching(/^twl/), mtu: 1450 },
      { name: "eth0", mtu: 1450, sandbox: `/proc/${process.pid}/fd/${pod.fd}` },
    ],
    ips: [
      { address: "10.244.1.2/32", gateway: "169.254.1.1", interface: 1 },
      { address: "fd00:10:244:1::2/128", gateway: "fe80::1", interface: 1 },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::1" },
    ],
    dns: { nameservers: ["10.96.0.10"] },
  });
  expect(result.interfaces[0]?.sandbox).toBeUndefined();
  pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
  expect(node.report().endpoints).toMatchObject([
    { podNamespace: "shop", podName: "cart-0", podUid: "1b9d6bcd-bbfd-4b2d", state: "ready", attachment: "routed" },
  ]);
});

test("every version of CNI gets its own shape", async () => {
  const node = testNode();
  await node.start();
  for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
    const pod = testPod();
    const answer = node.cni("ADD", `c-${cniVersion}`, pod, { config: { cniVersion } });
    expect(answer.status).toBe(0);
    const result = JSON.parse(answer.stdout);
    expect(result.cniVersion).toBe(cniVersion);
    expect(result.ip4 !== undefined).toBe(cniVersion < "0.3.0");
    expect(result.ips?.[0]?.version).toBe(cniVersion >= "0.3.0" && cniVersion < "1.0.0" ? "4" : undefined);
    expect(result.interfaces?.[0]?.mtu).toBe(cniVersion === "1.1.0" ? 1450 : undefined);
  }
});

test("a second ADD is refused and changes nothing", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  parsed(node.cni("ADD", "c1", pod));
  const before = node.leftovers();
  expect(failure(node.cni("ADD", "c1", pod)).msg).toContain("added already");
  expect(failure(node.cni("ADD", "c2", pod)).msg).toContain("has an interface eth0 already");
  expect(node.leftovers()).toEqual(before);
  expect(node.report().endpoints).toHaveLength(1);
  pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
});

test("DEL frees the address and is idempotent: twice, without a namespace, for a stranger, with a broken configuration", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  parsed(node.cni("ADD", "c1", pod));
  const done = { status: 0, stdout: "" } as const;
  expect(node.cni("DEL", "c1", pod, { config: { attachment: "nonsense", prevResult: 7 } })).toEqual(done);
  expect(pod.rtnl.link("eth0")).toBeUndefined();
  for (let times = 0; times < 2; times++) expect(node.cni("DEL", "c1", pod)).toEqual(done);
  expect(node.cni("DEL", "c1", undefined)).toEqual(done);
  expect(node.cni("DEL", "never-seen", undefined)).toEqual(done);
  expect(node.leftovers()).toEqual([]);
  expect(node.report().endpoints).toEqual([]);
  parsed(node.cni("ADD", "c1", pod));
  pod.close();
  expect(node.cni("DEL", "c1", undefined)).toEqual(done);
  expect(node.leftovers()).toEqual([]);
});

test("capabilities ips and mac, and the same in CNI_ARGS", async () => {
  const node = testNode();
  await node.start();
  const runtimeConfig = { ips: ["10.244.1.77/24", "fd00:10:244:1::77"], mac: "0e:00:00:00:00:77" };
  const a = parsed(node.cni("ADD", "a", testPod(), { config: { runtimeConfig } }));
  expect(a.ips.map(({ address }) => address)).toEqual(["10.244.1.77/32", "fd00:10:244:1::77/128"]);
  expect(a.interfaces[1]?.mac).toBe("0e:00:00:00:00:77");
  const b = parsed(node.cni("ADD", "b", testPod(), { args: "IP=10.244.1.78;MAC=0e:00:00:00:00:78" }));
  expect([b.ips[0]?.address, b.interfaces[1]?.mac]).toEqual(["10.244.1.78/32", "0e:00:00:00:00:78"]);
  expect(failure(node.cni("ADD", "c", testPod(), { args: "IP=10.244.1.78" })).msg).toContain("container b");
  expect(failure(node.cni("ADD", "c", testPod(), { args: "IP=10.9.9.9" })).code).toBe(7);
});

test("CHECK compares what the runtime remembers with what is there", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const prevResult = parsed(node.cni("ADD", "c1", pod));
  const check = (previous: unknown = prevResult) => node.cni("CHECK", "c1", pod, { config: { prevResult: previous } });
  expect(check()).toEqual({ status: 0, stdout: "" });
  const otherIps = prevResult.ips.map((ip) => ({ ...ip, address: ip.address.replace("10.244.1.2", "10.244.1.9") }));
  expect(failure(check({ ...prevResult, ips: otherIps })).msg).toContain("prevResult lacks the address 10.244.1.2");
  pod.run("ip", "route", "del", "default");
  expect(failure(check()).msg).toContain("the route to 0.0.0.0/0 via 169.254.1.1 is missing");
  node.netns.run("ip", "route", "del", "10.244.1.2");
  expect(failure(check()).msg).toContain("the route to 10.244.1.2/32");
  expect(failure(node.cni("CHECK", "c9", pod, { config: { prevResult } })).code).toBe(120);
  expect(failure(node.cni("CHECK", "c1", pod)).code).toBe(7);
});

test("GC frees what the runtime no longer knows, in this network only", async () => {
  const node = testNode();
  await node.start();
  for (const id of ["a", "b", "c"]) parsed(node.cni("ADD", id, testPod()));
  parsed(node.cni("ADD", "d", testPod(), { config: { name: "other" } }));
  const valid = { "cni.dev/valid-attachments": [{ containerID: "b", ifname: "eth0" }] };
  expect(node.cni("GC", "", undefined, { config: valid })).toEqual({ status: 0, stdout: "" });
  expect(node.report().endpoints.map(({ key }) => key.containerId)).toEqual(["b", "d"]);
  expect(node.leftovers().filter((name) => name.startsWith("twl"))).toHaveLength(2);
  expect(failure(node.cni("GC", "", undefined)).code).toBe(7);
  expect(node.report().endpoints).toHaveLength(2);
});

test("STATUS and ADD of a node that is not ready say why and what to do; DEL works all the same", async () => {
  const node = testNode();
  await node.start({ notReady: "no subnet is leased" });
  expect(failure(node.cni("STATUS", "", undefined))).toMatchObject({ code: 50, msg: "no subnet is leased" });
  expect(failure(node.cni("ADD", "c1", testPod()))).toMatchObject({ code: 11, msg: "no subnet is leased" });
  expect(node.cni("DEL", "c1", undefined).status).toBe(0);
  await node.stop();
  await node.start();
  expect(node.cni("STATUS", "", undefined)).toEqual({ status: 0, stdout: "" });
});

test("wrong configurations and environments get CNI's codes", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  expect(failure(node.cni("ADD", "c1", pod, { config: { cniVersion: "9.0.0" } })).code).toBe(1);
  expect(failure(node.cni("ADD", "c1", pod, { config: { ipMasq: true } })).code).toBe(2);
  expect(failure(node.cni("ADD", "c1", undefined)).code).toBe(4);
  expect(failure(node.cni("ADD", "../x", pod)).code).toBe(4);
  expect(failure(node.cni("ADD", "c1", pod, { ifname: "a/b" })).code).toBe(4);
  expect(failure(node.cni("ADD", "c1", pod, { config: { mtu: "big" } })).code).toBe(7);
  expect(node.report().endpoints).toEqual([]);
});

test("addresses run out with a word on what to do, and nothing is left of the refused", async () => {
  const node = testNode();
  await node.start({ subnets: ["10.244.1.0/29"] });
  for (const id of ["a", "b", "c", "d", "e"]) parsed(node.cni("ADD", id, testPod()));
  expect(failure(node.cni("ADD", "f", testPod()))).toMatchObject({ code: 102 });
  expect(node.report().endpoints).toHaveLength(5);
  node.cni("DEL", "c", undefined);
  expect(parsed(node.cni("ADD", "f", testPod())).ips[0]?.address).toBe("10.244.1.4/32");
});

test("a network with ranges of its own: bridge and macvlan, with gateway, routes and ranges", async () => {
  const node = testNode();
  node.netns.run("ip", "link", "add", "uplink", "type", "veth", "peer", "segment");
  for (const name of ["uplink", "segment"]) node.netns.run("ip", "link", "set", name, "up");
  await node.start({ subnets: [] });
  const ipam = {
    subnet: "192.168.7.0/24",
    rangeStart: "192.168.7.10",
    rangeEnd: "192.168.7.11",
    gateway: "192.168.7.254",
    routes: [{ dst: "198.51.100.0/24" }],
  };
  const config = { name: "lan", attachment: "macvlan", master: "uplink", ipam };
  const pods = [testPod(), testPod()];
  const results = pods.map((pod, index) => parsed(node.cni("ADD", `c${index}`, pod, { config })));
  expect(results.map(({ ips }) => ips[0]?.address)).toEqual(["192.168.7.10/24", "192.168.7.11/24"]);
  expect(results[0]?.routes).toEqual([{ dst: "198.51.100.0/24", gw: "192.168.7.254" }]);
  expect(results[0]?.interfaces.map(({ name }) => name)).toEqual(["eth0"]);
  pods[0]?.run("ping", "-c", "1", "-W", "2", "192.168.7.11");
  expect(failure(node.cni("ADD", "c3", testPod(), { config })).code).toBe(102);
  expect(node.cni("DEL", "c0", pods[0], { config }).status).toBe(0);
  expect(pods[0]?.rtnl.link("eth0")).toBeUndefined();
  const bridge = { name: "lan", attachment: "bridge", bridge: "lan0", ipam };
  expect(parsed(node.cni("ADD", "c4", testPod(), { config: bridge })).ips[0]).toMatchObject({
    address: "192.168.7.10/24",
    gateway: "192.168.7.254",
  });
  expect(node.netns.rtnl.addresses({ device: node.netns.indexOf("lan0") }).map(({ address }) => address)).toContain(
    parseAddress("192.168.7.254"),
  );
});

test("a bridge whose last pod is gone goes with the next start; one that two networks share keeps both gateways", async () => {
  const node = testNode();
  await node.start();
  const bridge = { attachment: "bridge", bridge: "br0" };
  const lan = { ...bridge, name: "lan", hairpinMode: true, ipam: { subnet: "192.168.7.0/24" } };
  const pods = [testPod(), testPod()];
  parsed(node.cni("ADD", "a", pods[0], { config: bridge }));
  parsed(node.cni("ADD", "b", pods[1], { config: lan }));
  await node.stop();
  await node.start();
  expect(node.report()).toMatchObject({ mended: [], problems: [] });
  pods[0]?.run("ping", "-c", "1", "-W", "2", "10.244.1.1");
  pods[1]?.run("ping", "-c", "1", "-W", "2", "192.168.7.1");
  node.cni("DEL", "a", pods[0], { config: bridge });
  node.cni("DEL", "b", pods[1], { config: lan });
  await node.stop();
  await node.start();
  expect(node.report().mended).toEqual(["the bridge br0 had no pods any more"]);
  expect(node.netns.rtnl.link("br0")).toBeUndefined();
});

test("the MTU of running pods follows the agent's, but not where the configuration fixes it", async () => {
  const node = testNode();
  await node.start();
  const [follower, fixed] = [testPod(), testPod()];
  parsed(node.cni("ADD", "a", follower));
  parsed(node.cni("ADD", "b", fixed, { config: { mtu: 1300 } }));
  await node.stop();
  await node.start({ mtu: 1400 });
  const [endpoint] = node.report().endpoints;
  expect([follower.rtnl.link("eth0")?.mtu, fixed.rtnl.link("eth0")?.mtu]).toEqual([1400, 1300]);
  expect(node.netns.rtnl.link(endpoint?.hostDevice ?? "")?.mtu).toBe(1400);
  expect(endpoint?.mtu).toBe(1400);
  expect(node.report().problems).toEqual([]);
});

test("after a restart nothing is written when nothing is wrong, and damage is mended; after a reboot addresses are free", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const [ip] = parsed(node.cni("ADD", "c1", pod)).ips;
  await node.stop();
  await node.start();
  expect(node.report()).toMatchObject({ mended: [], problems: [] });
  expect(node.report().endpoints).toHaveLength(1);
  node.netns.run("ip", "route", "del", "10.244.1.2");
  await node.stop();
  await node.start();
  expect(node.report().mended).toHaveLength(1);
  pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
  await node.stop();
  await node.start({ bootId: "another", quarantine: 0 });
  expect(node.report().endpoints).toEqual([]);
  expect(ip?.address).toBe("10.244.1.2/32");
});

test("an agent that is away: ADD, CHECK and GC answer 11, STATUS 50, DEL is queued and carried out by the next start", async () => {
  const node = testNode();
  await node.start();
  const pods = ["a", "b", "c"].map((id) => ({ id, pod: testPod() }));
  for (const { id, pod } of pods) parsed(node.cni("ADD", id, pod));
  await node.stop();
  const prevResult = { cniVersion: "1.1.0" };
  for (const command of ["ADD", "CHECK", "GC"])
    expect(failure(node.cni(command, "a", pods[0]?.pod, { config: { prevResult } })).code).toBe(11);
  expect(failure(node.cni("STATUS", "", undefined, { timeout: 500 })).code).toBe(50);
  for (const { id, pod } of pods)
    for (let times = 0; times < 2; times++) expect(node.cni("DEL", id, pod)).toEqual({ status: 0, stdout: "" });
  expect(node.pending()).toBe(3);
  await node.start();
  expect(node.report().endpoints).toEqual([]);
  expect(node.leftovers()).toEqual([]);
  expect(node.pending()).toBe(0);
});

test("pods that are gone without a DEL lose their addresses; one whose device was deleted by hand keeps them", async () => {
  const node = testNode();
  await node.start();
  const [gone, damaged, well] = [testPod(), testPod(), testPod()];
  for (const [id, pod] of Object.entries({ gone, damaged, well })) parsed(node.cni("ADD", id, pod));
  const device = node.report().endpoints.find(({ key }) => key.containerId === "damaged")?.hostDevice ?? "";
  node.netns.run("ip", "link", "del", device);
  gone.close();
  // The kernel takes a namespace's devices away a moment later.
  const devices = () => node.leftovers().filter((name) => name.startsWith("twl"));
  while (devices().length > 1) await Bun.sleep(20);
  await node.stop();
  await node.start();
  expect(node.report().endpoints.map(({ key }) => key.containerId)).toEqual(["damaged", "well"]);
  expect(node.cni("DEL", "gone", undefined)).toEqual({ status: 0, stdout: "" });
});

test("STATUS waits for an agent that is being replaced; once for each absence, and never after a boot", async () => {
  const node = testNode();
  const status = (timeout: number) => {
    const began = performance.now();
    const answer = node.cni("STATUS", "", undefined, { timeout });
    return { answer, waited: performance.now() - began };
  };
  expect(failure(status(20_000).answer).code).toBe(50); // nothing of the agent is there yet: no wait
  await node.start();
  await node.stop();
  const starting = node.start();
  expect(status(20_000).answer).toEqual({ status: 0, stdout: "" });
  await starting;
  await node.stop();
  const first = status(3000);
  expect([failure(first.answer).code, first.waited >= 2000]).toEqual([50, true]);
  const second = status(3000);
  expect([failure(second.answer).code, second.waited < 2000]).toEqual([50, true]);
});

test("an agent that hangs is left after the plugin's patience, and DEL queued", async () => {
  const node = testNode();
  await node.start();
  parsed(node.cni("ADD", "a", testPod()));
  await node.stop();
  await node.start({ hang: true });
  expect(failure(node.cni("ADD", "b", testPod(), { timeout: 300 })).code).toBe(11);
  expect(node.cni("DEL", "a", undefined, { timeout: 300 }).status).toBe(0);
  await node.stop();
  await node.start();
  expect(node.report().endpoints).toEqual([]);
  expect(node.pending()).toBe(0);
});
