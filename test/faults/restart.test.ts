import { expect, test } from "bun:test";
import { type Address, familyOf } from "../../src/base/address.ts";
import { pick, seededRandom } from "../../src/base/random.ts";
import { FaultLab, until } from "./fault-lab.fixture.ts";
import { losses, type Pair, Traffic } from "./traffic.fixture.ts";

const places = ["node1/pod-a", "node1/pod-b", "node2/pod-a", "node3/pod-a"] as const;
type Place = (typeof places)[number];
const pathsThrough: readonly (readonly [name: string, from: Place, to: Place])[] = [
  ["same node", "node1/pod-a", "node1/pod-b"],
  ["direct, out", "node1/pod-a", "node2/pod-a"],
  ["direct, in", "node2/pod-a", "node1/pod-b"],
  ["vxlan, out", "node1/pod-b", "node3/pod-a"],
  ["vxlan, in", "node3/pod-a", "node1/pod-a"],
];

/** Every path in both families. */
async function pairs(lab: FaultLab): Promise<Pair[]> {
  const { view } = await lab.call("status", null);
  const addresses = new Map<string, readonly Address[]>(
    view.subnets.flatMap(({ nodes }) =>
      nodes.flatMap((node) => node.pods.map((pod) => [`${node.name}/${pod.name}`, pod.addresses] as const)),
    ),
  );
  const namespaces = new Map<string, number>();
  for (const place of places) namespaces.set(place, await lab.netns(place));
  return pathsThrough.flatMap(([path, from, to]) =>
    ([4, 6] as const).map((family) => {
      const of = (place: Place) => addresses.get(place)?.find((address) => familyOf(address) === family);
      const [source, destination, fromFd, toFd] = [of(from), of(to), namespaces.get(from), namespaces.get(to)];
      if (source === undefined || destination === undefined || fromFd === undefined || toFd === undefined)
        throw new Error(`${from} or ${to} is missing`);
      return { name: `${path}, IPv${family}`, from: fromFd, to: toFd, source, destination };
    }),
  );
}

/**
 * Without what the kernel does by itself: neighbours learned by traffic come and go, link-local addresses end their
 * duplicate address detection.
 */
const writesSeen = (monitor: string): string[] =>
  monitor
    .split("\n")
    .filter((line) => line !== "" && !/^\[NEIGH\].*(REACHABLE|STALE|DELAY|PROBE|FAILED)|^#|\bfe80::/.test(line));

const config = {
  ...{ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/56" },
  Backend: { Type: "vxlan", DirectRouting: true },
};

test("an agent that is killed and started again loses no packet, and writes nothing to the kernel", async () => {
  await using lab = await FaultLab.up({ nodes: 3, pods: 2, config });
  await Bun.sleep(1500); // the kernel is still busy with the addresses of new devices
  const listeners = await Promise.all([
    lab.listen("node1", "ip -o monitor label link address route neigh rule"),
    lab.listen("node1", "nft monitor"),
  ]);
  const traffic = new Traffic(await pairs(lab));
  for (const end of ["kill", "stop"] as const) {
    await Bun.sleep(300);
    await lab.agent("node1", end);
    await Bun.sleep(300);
    await lab.agent("node1", "start");
    await until(async () => (await lab.status("node1")).ready, "it is ready again");
    // The whole way: datastore, peers, what they answer.
    await Bun.sleep(1000);
    // The one thing that an end changes: the nf_tables table had lost its owner.
    const writes = await lab.metric("node1", "twill_kernel_writes_total");
    expect([...writes].filter(([, count]) => count > 0)).toEqual([['op="table.add"', 1]]);
  }
  const outcomes = await traffic.stop();
  expect(losses(outcomes)).toEqual([]);
  expect(outcomes).toHaveLength(2 * pathsThrough.length);
  console.log(`${outcomes.reduce((sum, { datagramsSent }) => sum + datagramsSent, 0)} datagrams, none lost`);
  const seen = await Promise.all(listeners.map((stop) => stop()));
  expect(writesSeen(seen.join("\n"))).toEqual(["add table inet twill", "add table inet twill"]);

  // And what is there to be seen would have been seen.
  const stop = await lab.listen("node1", "ip -o monitor label route");
  await lab.on("node1", "ip route add 198.18.9.0/24 dev eth0; ip route del 198.18.9.0/24");
  // The monitor prints when it gets the processor.
  await Bun.sleep(1_000);
  expect(writesSeen(await stop())).toHaveLength(2);
}, 240_000);

test("agents killed at any moment of their start: no packet lost, and nothing is left half made", async () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  console.log(`TWILL_SEED=${seed}`);
  const random = seededRandom(seed);
  await using lab = await FaultLab.up({ nodes: 3, pods: 2, config });
  const traffic = new Traffic(await pairs(lab));
  for (let round = 0; round < 15; round++) {
    const node = pick(random, ["node1", "node2", "node3"]);
    await lab.agent(node, "kill");
    await lab.agent(node, "start");
    await Bun.sleep(random.below(150));
    if (round % 3 !== 0) await lab.agent(node, "kill");
  }
  for (const node of ["node1", "node2", "node3"]) {
    await lab.agent(node, "kill");
    await lab.agent(node, "start");
    await until(async () => (await lab.status(node)).ready, `${node} is ready again`);
  }
  expect(losses(await traffic.stop())).toEqual([]);
  for (const node of ["node1", "node2", "node3"]) {
    await lab.call("addPod", { node, pod: "late" });
    const { problems, addresses } = await lab.status(node);
    expect(problems).toEqual([]);
    expect(addresses.used).toBe(3);
  }
  expect(await lab.brokenPaths()).toEqual([]);
}, 240_000);
