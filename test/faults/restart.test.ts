import { expect, test } from "bun:test";
import type { Address } from "../../src/base/address.ts";
import { FaultLab } from "./fault-lab.fixture.ts";
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

async function pairs(lab: FaultLab): Promise<Pair[]> {
  const { view } = await lab.call("status", null);
  const pods = view.subnets.flatMap(({ nodes }) =>
    nodes.flatMap((node) => node.pods.map((pod) => [`${node.name}/${pod.name}`, pod.addresses[0]] as const)),
  );
  const addresses = new Map<string, Address | undefined>(pods);
  const namespaces = new Map<string, number>();
  for (const place of places) namespaces.set(place, await lab.netns(place));
  return pathsThrough.map(([name, from, to]) => {
    const [source, destination] = [addresses.get(from), addresses.get(to)];
    const [fromFd, toFd] = [namespaces.get(from), namespaces.get(to)];
    if (source === undefined || destination === undefined || fromFd === undefined || toFd === undefined)
      throw new Error(`${from} or ${to} is missing`);
    return { name, from: fromFd, to: toFd, source, destination };
  });
}

/**
 * Without what the kernel does by itself: neighbours learned by traffic come and go, link-local addresses end their
 * duplicate address detection.
 */
const writesSeen = (monitor: string): string[] =>
  monitor
    .split("\n")
    .filter((line) => line !== "" && !/^\[NEIGH\].*(REACHABLE|STALE|DELAY|PROBE|FAILED)|^#|\bfe80::/.test(line));

test("an agent that is killed and started again loses no packet, and writes nothing to the kernel", async () => {
  await using lab = await FaultLab.up({ nodes: 4, pods: 2 });
  const listeners = await Promise.all([
    lab.listen("node1", "ip -o monitor label link address route neigh rule"),
    lab.listen("node1", "nft monitor"),
  ]);
  const traffic = new Traffic(await pairs(lab));
  await Bun.sleep(500);
  await lab.agent("node1", "kill");
  await Bun.sleep(500);
  await lab.agent("node1", "start");
  // The whole way: datastore, peers, the first resync behind it.
  await Bun.sleep(2000);
  const outcomes = await traffic.stop();
  expect(losses(outcomes)).toEqual([]);

  // The one thing that a death changes: the nf_tables table had lost its owner.
  const writes = await lab.metric("node1", "twill_kernel_writes_total");
  expect([...writes].filter(([, count]) => count > 0)).toEqual([['op="table.add"', 1]]);
  const seen = await Promise.all(listeners.map((stop) => stop()));
  expect(writesSeen(seen.join("\n"))).toEqual(["add table inet twill"]);
  const sent = outcomes.reduce((sum, { datagramsSent }) => sum + datagramsSent, 0);
  console.log(`${sent} datagrams, none lost`);

  // And what is there to be seen would have been seen.
  const stop = await lab.listen("node1", "ip -o monitor label route");
  await lab.on("node1", "ip route add 198.18.9.0/24 dev eth0; ip route del 198.18.9.0/24");
  expect(writesSeen(await stop())).toHaveLength(2);
}, 60_000);
