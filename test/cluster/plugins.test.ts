import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { testNode, testPod } from "../../apps/agent/cni-service/test-node.fixture.ts";
import type { Program } from "../../lab/kubernetes/binaries.ts";
import { type TestNetns, testNetns, vethPair } from "../support/netns.ts";
import { builtProgram, CniTool, type ListEntry, pluginFolder } from "./cnitool.fixture.ts";
import { greet, startGreeter } from "./greeter.fixture.ts";

setDefaultTimeout(120_000);

/** The reference plugins 1.9 after ours, called by libcni 1.3 with CNI 1.1: the two that define what results must look like. */

const own = { type: "twill-cni" };
const others: readonly Program[] = ["bandwidth", "portmap", "sbr", "tuning"];

beforeAll(async () => {
  for (const program of [...others, "cnitool"] as const) await builtProgram(program);
}, 600_000);

async function start(entries: readonly ListEntry[]) {
  const node = testNode();
  await node.start();
  const outside = testNetns();
  vethPair({ netns: node.netns, name: "uplink" }, { netns: outside, name: "uplink" });
  node.netns.run("ip", "addr", "add", "198.51.100.1/24", "dev", "uplink");
  node.netns.run("ip", "addr", "add", "2001:db8::1/64", "dev", "uplink", "nodad");
  outside.run("ip", "addr", "add", "198.51.100.2/24", "dev", "uplink");
  outside.run("ip", "addr", "add", "2001:db8::2/64", "dev", "uplink", "nodad");
  const plugins = await pluginFolder(node, others);
  return { node, outside, plugins, tool: await CniTool.of(node, plugins, "cbr0", entries) };
}

const portMappings = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 8080, containerPort: 80, protocol: "udp" },
];
const bridge = { ...own, attachment: "bridge", hairpinMode: true };

for (const backend of ["nftables", "iptables"])
  for (const attachment of [own, bridge])
    test(`portmap with ${backend} after ${"attachment" in attachment ? "bridge" : "routed"}: host ports lead to the pod`, async () => {
      const portmap = { type: "portmap", backend, snat: true, capabilities: { portMappings: true } };
      const { node, outside, tool } = await start([attachment, portmap]);
      const [pod, neighbour] = [testPod(), testPod()];
      const ask = { capabilities: { portMappings } };
      const { cniVersion, ips } = tool.add(pod, ask);
      expect(cniVersion).toBe("1.1.0");
      expect(ips.map(({ address }) => address.replace(/\/.*/, ""))).toEqual(["10.244.1.2", "fd00:10:244:1::2"]);
      tool.add(neighbour);
      await startGreeter(pod);

      for (const protocol of ["tcp", "udp"] as const) {
        const answer = (from: TestNetns, address: string) => greet(from, protocol, address, 8080);
        expect(answer(outside, "198.51.100.1")).toBe(`${protocol} 198.51.100.2`);
        expect(answer(outside, "2001:db8::1")).toBe(`${protocol} 2001:db8::2`);
        expect(answer(node.netns, "198.51.100.1")).toStartWith(protocol);
        expect(answer(node.netns, "127.0.0.1")).toStartWith(protocol);
        expect(answer(neighbour, "198.51.100.1")).toStartWith(protocol);
        expect(answer(pod, "198.51.100.1")).toStartWith(protocol);
      }
      tool.run("check", pod, ask);
      tool.run("del", pod, ask);
      tool.run("del", neighbour);
      expect(greet(outside, "tcp", "198.51.100.1", 8080)).toBeUndefined();
      expect(node.leftovers()).toEqual([]);
    });

/** Seconds that it takes to move `bytes`, as seen by the client. */
function seconds(from: TestNetns, script: string, bytes: number): number {
  const started = performance.now();
  expect(Number(from.run("timeout", "18", "bash", "-c", script))).toBe(bytes);
  return (performance.now() - started) / 1000;
}

test("bandwidth: a pod's traffic is slowed to what was asked for, each way", async () => {
  const { node, outside, tool } = await start([own, { type: "bandwidth", capabilities: { bandwidth: true } }]);
  const pod = testPod();
  const limits = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 16_000_000, egressBurst: 800_000 };
  const ask = { capabilities: { bandwidth: limits } };
  const [host] = tool.add(pod, ask).interfaces;
  expect(node.netns.run("tc", "qdisc", "show", "dev", host?.name ?? "")).toMatch(/tbf .*rate 8Mbit burst 100000b/);
  const bytes = 2_000_000;
  await startGreeter(pod, { bulk: bytes });
  outside.run("ip", "route", "add", "10.244.1.0/24", "via", "198.51.100.1");
  // Bits above the burst at that rate; how long a busy machine needs beyond that says nothing.
  const atLeast = (rate: number, burst: number) => (bytes * 8 - burst) / rate;
  const upload = `exec 3<>/dev/tcp/10.244.1.2/82 && head -c ${bytes} /dev/zero >&3 && head -n 1 <&3`;
  expect(seconds(outside, upload, bytes)).toBeGreaterThan(atLeast(limits.ingressRate, limits.ingressBurst) * 0.9);
  const download = "cat </dev/tcp/10.244.1.2/81 | wc -c";
  expect(seconds(outside, download, bytes)).toBeGreaterThan(atLeast(limits.egressRate, limits.egressBurst) * 0.9);
  tool.run("check", pod, ask);
  tool.run("del", pod, ask);
  expect(node.leftovers()).toEqual([]);
  expect(node.netns.rtnl.links().map(({ name }) => name)).toEqual(["lo", "uplink"]);
});

test("sbr: the address of a second network answers whoever asks, through its own interface", async () => {
  const { node, outside, plugins, tool } = await start([own]);
  const network = { ...own, ipam: { ranges: [[{ subnet: "192.168.50.0/24" }], [{ subnet: "fd50::/64" }]] } };
  const second = await CniTool.of(node, plugins, "second", [network, { type: "sbr" }]);
  const pod = testPod();
  tool.add(pod);
  second.add(pod, { ifname: "net1" });
  outside.run("ip", "route", "add", "192.168.50.0/24", "via", "198.51.100.1");
  outside.run("ip", "route", "add", "fd50::/64", "via", "2001:db8::1");
  for (const from of [outside, node.netns])
    for (const address of ["192.168.50.2", "fd50::2"]) from.run("ping", "-c", "1", "-W", "4", address);
  outside.run("ip", "route", "add", "10.244.1.0/24", "via", "198.51.100.1");
  outside.run("ping", "-c", "1", "-W", "4", "10.244.1.2");
  // It moves the routes of net1 away, which CHECK calls by name: see docs/cni.md.
  expect(() => second.run("check", pod, { ifname: "net1" })).toThrow("the route to 192.168.50.0/24");
  tool.run("check", pod);
  second.run("del", pod, { ifname: "net1" });
  expect(pod.run("ip", "rule")).not.toContain("192.168.50.2");
  tool.run("check", pod);
});

test("tuning: sysctls and MTU of the pod", async () => {
  const { node, outside, tool } = await start([
    own,
    { type: "tuning", sysctl: { "net.ipv4.ip_default_ttl": "77" }, mtu: 1400 },
  ]);
  const pod = testPod();
  tool.add(pod);
  expect(pod.rtnl.link("eth0")?.mtu).toBe(1400);
  outside.run("ip", "route", "add", "10.244.1.0/24", "via", "198.51.100.1");
  expect(outside.run("ping", "-c", "1", "-W", "4", "10.244.1.2")).toContain("ttl=76");
  // Its result still says 1450, which CNI 1.1 has a word for: see docs/cni.md.
  expect(() => tool.run("check", pod)).toThrow("eth0 has the MTU 1400, not 1450");
  tool.run("del", pod);
  expect(node.leftovers()).toEqual([]);
});

test("libcni reads our results of CNI 1.1 without loss; STATUS, GC and errors, as it sees them", async () => {
  const dns = { nameservers: ["10.0.0.10"], search: ["svc.cluster.local"] };
  const network = { ...own, capabilities: { ips: true, mac: true }, dns };
  const { node, tool } = await start([network]);
  const pod = testPod();
  tool.run("status", pod);
  const capabilities = { ips: ["10.244.1.77/24"], mac: "0e:12:34:56:78:9a" };
  const result = tool.add(pod, { capabilities });
  const sandbox = `/proc/${process.pid}/fd/${pod.fd}`;
  expect(result).toEqual({
    cniVersion: "1.1.0",
    interfaces: [
      { name: expect.stringMatching(/^twl[0-9a-f]{11}$/), mac: expect.any(String), mtu: 1450 },
      { name: "eth0", mac: "0e:12:34:56:78:9a", mtu: 1450, sandbox },
    ],
    ips: [
      { interface: 1, address: "10.244.1.77/32", gateway: "169.254.1.1" },
      { interface: 1, address: "fd00:10:244:1::2/128", gateway: "fe80::1" },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::1" },
    ],
    dns,
  });
  expect(() => tool.add(pod)).toThrow("this attachment has been added already");
  // It takes back by DEL what it remembers, and then calls GC without the list of what is valid, which may free nothing.
  const stranger = testPod();
  expect(node.cni("ADD", "stranger", stranger).status).toBe(0);
  expect(() => tool.run("gc", pod)).toThrow("GC needs the list");
  expect(node.report().endpoints.map(({ key }) => key.containerId)).toEqual(["stranger"]);
  expect(node.cni("DEL", "stranger", stranger).status).toBe(0);
  expect(node.report().endpoints).toEqual([]);
  expect(node.leftovers()).toEqual([]);
});
