import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Manifest, type TestCluster, testCluster, until } from "./cluster.fixture.ts";
import { attachmentDefinition, idlePod, Multus, type NetworkStatus, networkStatusOf } from "./multus.fixture.ts";

setDefaultTimeout(300_000);

/**
 * Kubelet, containerd and the real multus 4.2 on one node: Twill as the cluster's network with portmap 1.9 behind it (CNI
 * 1.1), and twice more as an additional one, a macvlan on the node's segment and a second network of its own.
 */
const node = "node1";
const environment = "configmap/twill-environment";

const networks = [
  attachmentDefinition("lan", {
    attachment: "macvlan",
    master: "eth0",
    capabilities: { ips: true, mac: true },
    ipam: { subnet: "192.168.1.0/24", rangeStart: "192.168.1.100", rangeEnd: "192.168.1.120" },
  }),
  attachmentDefinition("storage", { ipam: { subnet: "192.168.50.0/24" } }),
];
const pods: Manifest[] = [
  idlePod("first", node, {
    networks: [
      { name: "lan", ips: ["192.168.1.110/24"], mac: "0e:12:34:56:78:9a" },
      { name: "storage", interface: "data" },
    ],
  }),
  idlePod("second", node, { networks: [{ name: "lan" }, { name: "storage" }] }),
  // Not on the node's segment: it would answer its neighbours there straight, past the node that translates.
  idlePod("ports", node, {
    networks: [{ name: "storage" }],
    hostPorts: [
      { containerPort: 8080, hostPort: 18080 },
      { containerPort: 8080, hostPort: 18080, protocol: "UDP" },
    ],
  }),
];

let cluster: TestCluster;
let multus: Multus;
let before: string;

async function setEnvironment(data: Readonly<Record<string, string | null>>): Promise<void> {
  await cluster.kubectl("-n", "twill-system", "patch", environment, "--type=merge", "-p", JSON.stringify({ data }));
  await cluster.kubectl("-n", "twill-system", "rollout", "restart", "daemonset/twill-agent");
  await cluster.kubectl("-n", "twill-system", "rollout", "status", "daemonset/twill-agent", "--timeout=180s");
}

/** In the network namespace of the pod that has this address. */
const inPodOf = (address: string, ...command: string[]): Promise<string> => {
  const find = `for n in /run/netns/*; do nsenter --net=$n ip -o -4 addr | grep -q " ${address}/" && exec nsenter --net=$n "$@"; done; exit 1`;
  return cluster.on(node, "sh", "-c", find, "sh", ...command);
};
const ping = (from: string, to: string) => inPodOf(from, "ping", "-c", "1", "-W", "10", to);
const statusOf = async (pod: string): Promise<Readonly<Record<string, NetworkStatus>>> =>
  Object.fromEntries((await networkStatusOf(cluster, pod)).map((status) => [status.interface, status]));
const endpoints = async (): Promise<string> => cluster.on(node, "twill", "get", "endpoints");

beforeAll(async () => {
  cluster = await testCluster();
  before = await endpoints();
  await setEnvironment({ TWILL_CNI_CHAIN: "portmap", TWILL_CNI_VERSION: "1.1.0" });
  multus = await Multus.install(cluster, node, ["portmap"]);
  await cluster.apply(...networks, ...pods);
  await cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "pod/second", "pod/ports", "--timeout=180s");
}, 900_000);

afterAll(async () => {
  await cluster.remove(...pods);
  await multus.uninstall();
  await setEnvironment({ TWILL_CNI_CHAIN: null, TWILL_CNI_VERSION: null });
  await cluster.awaitHealthy();
}, 600_000);

test("the network-status annotation tells of each interface what the kernel has", async () => {
  const { eth0, net1, data, ...more } = await statusOf("first");
  expect(more).toEqual({});
  const { podIP } = (await cluster.pods()).find(({ metadata }) => metadata.name === "first")?.status ?? {};
  expect(eth0).toMatchObject({ name: "twill", ips: [podIP], default: true, gateway: ["169.254.1.1"] });
  expect(net1).toMatchObject({ name: "default/lan", ips: ["192.168.1.110"], mac: "0e:12:34:56:78:9a", mtu: 1500 });
  expect(data).toMatchObject({ name: "default/storage", mtu: 1450 });
  expect([net1?.default, net1?.gateway, data?.default, data?.gateway].some((value) => value !== undefined)).toBe(false);
  for (const status of [eth0, net1, data]) {
    const shown = await inPodOf("192.168.1.110", "ip", "addr", "show", "dev", status?.interface ?? "");
    for (const text of [status?.mac, `mtu ${status?.mtu}`, `inet ${status?.ips[0]}/`])
      expect(shown).toContain(text ?? "");
  }
});

test("each network reaches its own: the cluster, the node's segment, the second network", async () => {
  const [first, second] = [await statusOf("first"), await statusOf("second")];
  const address = (status: NetworkStatus | undefined) => status?.ips[0] ?? "none";
  for (const [mine, theirs] of [
    [first.eth0, second.eth0],
    [first.net1, second.net1],
    [first.data, second.net2],
  ])
    await ping(address(mine), address(theirs));
  await ping("192.168.1.110", "192.168.1.1"); // the segment's router, which knows nothing of Kubernetes
  const far = (await cluster.pods("-n", "twill-system", "-l", "app.kubernetes.io/name=twill")).find(
    ({ spec }) => spec.nodeName === "node2",
  );
  await ping(address(first.eth0), far?.status.podIP ?? "none");
});

test("one default route a pod: the cluster network's", async () => {
  const routes = (await inPodOf("192.168.1.110", "ip", "route", "show", "default")).trim();
  expect(routes).toMatch(/^default via 169\.254\.1\.1 dev eth0 [^\n]*$/);
});

test("hostPorts that kubelet asks for lead to the pod, TCP and UDP, from another node and from its own", async () => {
  const { stdout } = await cluster.run("exec", node, "--", "sh", "-c", "ip -o -4 addr show dev eth0");
  const host = /inet ([\d.]+)/.exec(stdout)?.[1] ?? "none";
  for (const from of ["node2", "node3", node]) {
    expect(await cluster.on(from, "curl", "-sSf", "-m20", `http://${host}:18080/hostname`)).toBe("ports");
    const ask = `exec 3<>/dev/udp/${host}/18080 && echo -n hostname >&3 && timeout 20 head -c 5 <&3`;
    expect(await cluster.on(from, "bash", "-c", ask)).toBe("ports");
  }
  expect(await cluster.on(node, "curl", "-sSf", "-m20", "http://127.0.0.1:18080/hostname")).toBe("ports");
});

test("with the pods all their attachments go, and nothing else", async () => {
  await cluster.remove(...pods);
  await until("the agent has taken all interfaces back", async () => (await endpoints()) === before);
  const links = await cluster.on(node, "ip", "-o", "link");
  expect(links.match(/ twl[0-9a-f]{11}@/g)?.length ?? 0).toBe((before.match(/ twl[0-9a-f]{11} /g) ?? []).length);
});
