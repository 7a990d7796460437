import { expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

test("a node's underlay address changes, and its link flaps: the others follow, and all paths return", async () => {
  await using lab = await FaultLab.up({ nodes: 3, pods: 1 });
  const { subnets } = await lab.status("node1");
  const subnet = subnets[0] ?? "";

  await lab.on(
    "node1",
    "ip addr del 192.168.1.11/24 dev eth0; ip addr add 192.168.1.77/24 dev eth0; ip route replace default via 192.168.1.1",
  );
  const took = await until(
    async () =>
      (await lab.on("node2", `ip route show ${subnet}`)).includes("via 192.168.1.77 ") &&
      (await lab.on("node3", "bridge fdb show dev flannel.1")).includes("192.168.1.77") &&
      !(await lab.on("node3", "bridge fdb show dev flannel.1")).includes("192.168.1.11"),
    "the others know the new address",
  );
  console.log(`new underlay address known after ${Math.round(took)} ms`);
  await until(
    async () => (await lab.attempt("node1", "ip -d link show flannel.1")).stdout.includes("local 192.168.1.77 "),
    "its own tunnel has the new address",
  );
  // The lab probes the address that the node was born with, and knows no other.
  await lab.on("node1", "ip addr add 192.168.1.11/24 dev eth0");
  const broken = await lab.brokenPaths(2);
  expect(broken.filter((path) => !path.includes("the outside sees 192.168.1.77"))).toEqual([]);
  await lab.on(
    "node1",
    "ip addr flush dev eth0; ip addr add 192.168.1.11/24 dev eth0; ip route replace default via 192.168.1.1",
  );
  await until(
    async () => !(await lab.on("node3", "bridge fdb show dev flannel.1")).includes("192.168.1.77"),
    "and the old one again",
  );
  expect(await lab.brokenPaths()).toEqual([]);

  // Ten times in two seconds, as a bad cable does it.
  const before = await lab.kernelWrites("node1");
  for (let flap = 0; flap < 10; flap++) {
    await lab.call("link", { node: "node1", up: false });
    await Bun.sleep(100);
    await lab.call("link", { node: "node1", up: true });
    await Bun.sleep(100);
  }
  await until(async () => (await lab.brokenPaths(0)).length === 0, "all paths work after flaps of the cable");
  console.log(`kernel writes for ten flaps of the cable: ${(await lab.kernelWrites("node1")) - before}`);
  await lab.on(
    "node1",
    "for i in 1 2 3 4 5 6 7 8 9 10; do ip link set eth0 down; sleep 0.1; ip link set eth0 up; ip route replace default via 192.168.1.1; sleep 0.1; done",
  );
  await until(async () => (await lab.brokenPaths(0)).length === 0, "all paths work after flaps of the device");
  console.log(`kernel writes for ten flaps of the device too: ${(await lab.kernelWrites("node1")) - before}`);
  await until(async () => (await lab.status("node1")).problems.length === 0, "nothing is wrong any more");
}, 240_000);

test("the underlay's MTU is followed at run time, by tunnels, pods and subnet.env; and back", async () => {
  await using lab = await FaultLab.up({ nodes: 2, pods: 1 });
  const mtus = async (): Promise<string> =>
    (await lab.on(
      "node1",
      "cat /sys/class/net/flannel.1/mtu /sys/class/net/twl*/mtu; grep MTU /run/flannel/subnet.env",
    )) + (await lab.on("node1/pod-a", "ip -o link show eth0 | grep -o 'mtu [0-9]*'"));
  const expected = (mtu: number) => `${mtu}\n${mtu}\nFLANNEL_MTU=${mtu}\nmtu ${mtu}\n`;
  expect(await mtus()).toBe(expected(1450));
  for (const underlay of [1400, 9000, 1500]) {
    await lab.on("node1", `ip link set eth0 mtu ${underlay}`);
    const took = await until(async () => (await mtus()) === expected(underlay - 50), `MTU ${underlay}`);
    console.log(`underlay MTU ${underlay} followed after ${Math.round(took)} ms`);
  }
  await lab.call("addPod", { node: "node1", pod: "late" });
  expect(await lab.on("node1/late", "ip -o link show eth0 | grep -o 'mtu [0-9]*'")).toBe("mtu 1450\n");
  expect(await lab.brokenPaths()).toEqual([]);
}, 240_000);

test("a node that leaves for good is forgotten; one that stops and starts again keeps subnet and MAC", async () => {
  await using lab = await FaultLab.up({ nodes: 4, pods: 2 });
  const store = `embedded:${lab.directory}/store/cluster.db`;
  const gone = await lab.status("node4");
  const subnet = gone.subnets[0] ?? "";
  expect(
    await lab.on("node1", `ip route show ${subnet}; bridge fdb show dev flannel.1; ip neigh show dev flannel.1`),
  ).toContain("192.168.2.14");
  await lab.call("deleteNode", { name: "node4" });
  await lab.on("node1", `twill delete node node4 --datastore ${store}`);
  for (const node of ["node1", "node2", "node3"]) {
    await until(
      async () =>
        !(await lab.on(node, "ip route; bridge fdb show; ip neigh show nud permanent")).match(
          new RegExp(`${subnet.split("/")[0]?.replaceAll(".", "\\.")}|192\\.168\\.2\\.14`),
        ),
      `${node} forgets node4`,
    );
  }
  expect((await lab.status("node1")).nodes.map(({ name }) => name)).not.toContain("node4");

  const mac = await lab.on("node3", "cat /sys/class/net/flannel.1/address");
  const before = await lab.status("node3");
  expect(before.addresses.used).toBe(2);
  await lab.call("stopNode", { name: "node3" });
  const reached = async () => (await lab.status("node1")).nodes.find(({ name }) => name === "node3")?.reachable.state;
  const noticed = await until(async () => (await reached()) === "no", "node1 measures that node3 is away");
  console.log(`a power cut is noticed after ${Math.round(noticed)} ms`);
  await lab.call("startNode", { name: "node3" });
  await until(async () => (await reached()) === "yes", "node1 measures that node3 is back");
  const after = await lab.status("node3");
  expect(after.subnets).toEqual(before.subnets);
  expect(await lab.on("node3", "cat /sys/class/net/flannel.1/address")).toBe(mac);
  expect(after.addresses.used).toBe(0);
  await lab.call("addPod", { node: "node3", pod: "pod-a" });
  expect(await lab.brokenPaths()).toEqual([]);
}, 240_000);

test("the underlay's device vanishes and comes back as another of the same name: the tunnel and all paths return", async () => {
  await using lab = await FaultLab.up({ nodes: 3, pods: 1 });
  const { net } = await lab.call("enter", { target: "node1" });
  const mac = (await lab.on("node1", "cat /sys/class/net/eth0/address")).trim();
  await lab.on("router", "ip link del node1");
  await until(async () => (await lab.status("node1")).problems.length > 0, "the agent misses it");
  expect((await lab.status("node1")).problems.map(({ message }) => message).join()).toContain("eth0");
  await lab.on(
    "router",
    `ip link add node1 type veth peer name eth0 address ${mac} netns /proc/1/fd/${net}; ip link set node1 master lan1 up`,
  );
  await lab.on(
    "node1",
    "ip addr add 192.168.1.11/24 dev eth0; ip link set eth0 up; ip route add default via 192.168.1.1",
  );
  const took = await until(async () => (await lab.brokenPaths(0)).length === 0, "all paths work again");
  console.log(`a new underlay device: all paths after ${Math.round(took)} ms`);
  await until(async () => (await lab.status("node1")).problems.length === 0, "nothing is wrong any more");
}, 240_000);
