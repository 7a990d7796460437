import { expect, test } from "bun:test";
import { type TestNetns, testNetns, vethPair } from "../../../test/support/netns.ts";
import { type CniJson, failure, parsed, type TestNode, testNode, testPod } from "./test-node.fixture.ts";

/** Several networks in one pod, called as multus calls its delegates: an interface name and a configuration each. */

const range = { ipam: { subnet: "192.168.50.0/24" } };
const second = { name: "second", ...range };
const dual = { name: "second", ipam: { ranges: [[{ subnet: "192.168.50.0/24" }], [{ subnet: "fd50::/64" }]] } };

async function start(): Promise<TestNode> {
  const node = testNode();
  await node.start();
  return node;
}

const add = (node: TestNode, id: string, pod: TestNetns, ifname: string, config: Readonly<Record<string, unknown>>) =>
  parsed(node.cni("ADD", id, pod, { ifname, config }));

const addressesOf = ({ ips }: CniJson) => ips.map(({ address }) => address.replace(/\/.*/, ""));
const ping = (from: TestNetns, address: string) => from.run("ping", "-c", "1", "-W", "2", address);
const defaultRoutes = (pod: TestNetns) =>
  pod.rtnl.routes().filter(({ destination, table }) => destination.endsWith("/0") && table === 254);

test("a second Twill network: its own addresses, reached through its own interface; the default route stays", async () => {
  const node = await start();
  const pods = [testPod(), testPod()] as const;
  const results = pods.map((pod, index) => {
    parsed(node.cni("ADD", `c${index}`, pod));
    return add(node, `c${index}`, pod, "net1", dual);
  });
  expect(results.map(addressesOf)).toEqual([
    ["192.168.50.2", "fd50::2"],
    ["192.168.50.3", "fd50::3"],
  ]);
  expect(results[0]?.routes).toEqual([
    { dst: "192.168.50.0/24", gw: "169.254.1.1" },
    { dst: "fd50::/64", gw: "fe80::1" },
  ]);
  const [pod] = pods;
  expect(defaultRoutes(pod).map(({ device }) => device)).toEqual([pod.indexOf("eth0"), pod.indexOf("eth0")]);
  for (const address of ["192.168.50.3", "fd50::3", "10.244.1.3", "fd00:10:244:1::3"]) ping(pod, address);
  expect(pod.run("ip", "route", "get", "192.168.50.3")).toContain("dev net1 src 192.168.50.2");
  for (const [index, result] of results.entries()) {
    const check = node.cni("CHECK", `c${index}`, pods[index], {
      ifname: "net1",
      config: { ...dual, prevResult: result },
    });
    expect(check).toEqual({ status: 0, stdout: "" });
  }
  expect(node.cni("DEL", "c0", pod, { ifname: "net1", config: dual }).status).toBe(0);
  expect(pod.rtnl.links().map(({ name }) => name)).toEqual(["lo", "eth0"]);
  ping(pod, "10.244.1.3");
});

test("the first network gives the default route, also when it is not Twill's cluster network", async () => {
  const node = await start();
  const pod = testPod();
  expect(add(node, "c", pod, "eth0", second).routes.map(({ dst }) => dst)).toEqual(["0.0.0.0/0", "192.168.50.0/24"]);
  // Of the cluster network IPv6 alone is missing.
  expect(parsed(node.cni("ADD", "c", pod, { ifname: "net1" })).routes).toEqual([{ dst: "::/0", gw: "fe80::1" }]);
  expect(defaultRoutes(pod).map(({ device }) => device)).toEqual([pod.indexOf("eth0"), pod.indexOf("net1")]);
});

test("two networks that both insist on the default route are refused with a way out, and nothing is left", async () => {
  const node = await start();
  const pod = testPod();
  parsed(node.cni("ADD", "c", pod));
  const before = node.leftovers();
  const refused = failure(node.cni("ADD", "c", pod, { ifname: "net1", config: { ...second, isDefaultGateway: true } }));
  expect(refused.msg).toContain("the pod's route to 0.0.0.0/0 leads through eth0 already");
  expect(refused.details).toContain("isDefaultGateway");
  expect(node.leftovers()).toEqual(before);
  expect(node.report().endpoints).toHaveLength(1);
  expect(pod.rtnl.links().map(({ name }) => name)).toEqual(["lo", "eth0"]);
});

test("two routed networks with the same addresses: the second pod is refused, and the first one keeps its own", async () => {
  const node = await start();
  const pods = [testPod(), testPod()] as const;
  add(node, "c0", pods[0], "eth0", second);
  const refused = failure(node.cni("ADD", "c1", pods[1], { config: { ...second, name: "third" } }));
  expect(refused.msg).toMatch(/the node's route to 192\.168\.50\.2\/32 leads to twl[0-9a-f]{11}/);
  expect(refused.details).toContain("ipam");
  expect(node.report().endpoints).toHaveLength(1);
  ping(node.netns, "192.168.50.2");
});

test("all attachments in one pod: routed, bridge and macvlan, each reaching its own kind", async () => {
  const node = await start();
  const segment = testNetns();
  vethPair({ netns: node.netns, name: "uplink" }, { netns: segment, name: "uplink" });
  segment.run("ip", "addr", "add", "192.168.70.100/24", "dev", "uplink");
  const networks = [
    { name: "routed", ...range },
    { name: "bridge", attachment: "bridge", bridge: "br-two", ipam: { subnet: "192.168.60.0/24" } },
    {
      name: "macvlan",
      attachment: "macvlan",
      master: "uplink",
      ipam: { subnet: "192.168.70.0/24", rangeStart: "192.168.70.20", rangeEnd: "192.168.70.40" },
    },
  ];
  const pods = [testPod(), testPod()] as const;
  for (const [index, pod] of pods.entries()) {
    parsed(node.cni("ADD", `c${index}`, pod));
    for (const [place, network] of networks.entries()) add(node, `c${index}`, pod, `net${place + 1}`, network);
  }
  const [pod] = pods;
  for (const address of ["10.244.1.3", "192.168.50.3", "192.168.60.3", "192.168.70.21", "192.168.70.100"])
    ping(pod, address);
  ping(segment, "192.168.70.20");
  expect(defaultRoutes(pod)).toHaveLength(2);
  for (const index of [0, 1])
    for (const [place, network] of networks.entries())
      expect(node.cni("DEL", `c${index}`, pods[index], { ifname: `net${place + 1}`, config: network }).status).toBe(0);
  expect(node.report().endpoints.map(({ key }) => key.ifname)).toEqual(["eth0", "eth0"]);
  expect(pod.rtnl.links().map(({ name }) => name)).toEqual(["lo", "eth0"]);
});

test("books are each network's own: overlapping ranges, and a GC that frees its own only", async () => {
  const node = await start();
  const pods = [testPod(), testPod()] as const;
  const third = { name: "third", ...range };
  parsed(node.cni("ADD", "c0", pods[0]));
  expect(addressesOf(add(node, "c0", pods[0], "net1", second))).toEqual(["192.168.50.2"]);
  // On another node's segment, so to speak: nothing says that one name's addresses are another's.
  const elsewhere = { ...third, attachment: "bridge", bridge: "br-three", isDefaultGateway: false };
  expect(addressesOf(add(node, "c1", pods[1], "net1", elsewhere))).toEqual(["192.168.50.2"]);
  const networks = () => node.report().endpoints.map(({ key }) => `${key.network} ${key.containerId} ${key.ifname}`);
  expect(networks().sort()).toEqual(["cbr0 c0 eth0", "second c0 net1", "third c1 net1"]);
  const collect = (config: Readonly<Record<string, unknown>>) =>
    expect(node.cni("GC", "", undefined, { config }).status).toBe(0);
  collect({ ...second, "cni.dev/valid-attachments": [] });
  expect(networks().sort()).toEqual(["cbr0 c0 eth0", "third c1 net1"]);
  collect({ "cni.dev/valid-attachments": [{ containerID: "c0", ifname: "eth0" }] });
  expect(networks().sort()).toEqual(["cbr0 c0 eth0", "third c1 net1"]);
  collect({ ...elsewhere, "cni.dev/valid-attachments": [] });
  expect(networks()).toEqual(["cbr0 c0 eth0"]);
});
