import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import type { Datastore } from "../src/store/datastore.ts";
import { openDatastore } from "../src/store/open.ts";
import { AgentNode } from "./agent-node.ts";
import { isRouted, kernelEntries, leaseOf, nameOf, networkOfPeers } from "./peer.ts";
import type { Figure } from "./report.ts";
import type { Bench } from "./run.ts";
import { summarize } from "./statistics.ts";

const sizes = [0, 1_000, 5_000];
const changes = 20;
/** Milliseconds after which nothing is left to do: memory is given back 5 s after the start. */
const settledAfter = 8_000;

/**
 * One node in a cluster of many: the peers are their leases in the datastore. Whether the kernel is as it should be is asked
 * of the kernel; how much was written to it, of the agent's counters.
 */
export async function benchReconcile({ programs, folder, progress }: Bench): Promise<Figure[]> {
  const rows: Figure[] = [];
  for (const peers of sizes) {
    progress(`${peers} peers: writing their leases`);
    const own = join(folder, String(peers));
    mkdirSync(own);
    const node = new AgentNode(programs, own, networkOfPeers);
    const store = await openDatastore(node.datastore);
    const rtnl = openRtnl({ netns: node.netns.fd });
    try {
      await Promise.all(Array.from({ length: peers }, (_, peer) => store.create("nodes", nameOf(peer), leaseOf(peer))));
      progress(`${peers} peers: measuring`);
      for (const [what, value, reached] of await measure(node, store, rtnl, peers))
        rows.push({ what: `${peers} peers: ${what}`, value, ...(reached === undefined ? {} : { reached }) });
      await node.stop();
    } finally {
      rtnl.close();
      await store.close();
      node.close();
    }
  }
  return rows;
}

type Finding = readonly [what: string, value: string, reached?: boolean];

async function measure(node: AgentNode, store: Datastore, rtnl: Rtnl, peers: number): Promise<Finding[]> {
  const findings: Finding[] = [];
  const started = performance.now();
  const ready = node.start();
  const samples = peers === 0 ? [] : [0, 0.25, 0.5, 0.75, 1].map((share) => Math.floor(share * (peers - 1)));
  for (const peer of samples) await until(() => isRouted(rtnl, peer), 60_000);
  await ready;
  const elapsed = performance.now() - started;
  const entries = kernelEntries(rtnl);
  const complete = entries.every((count) => count === peers);
  findings.push(["first start, from the process to the last entry and ready", milliseconds(elapsed)]);
  findings.push(["routes, neighbours and FDB entries then", entries.join(", "), complete]);

  await Bun.sleep(settledAfter);
  findings.push(["memory of its own at rest", `${(node.memory() / 2 ** 20).toFixed(0)} MiB`]);
  const atRest = await processorDuring(node, () => Bun.sleep(settledAfter));
  findings.push(["processor time at rest, a second", `${perSecond(atRest).toFixed(1)} ms`]);

  const before = sum(node.kernelWrites());
  const times: number[] = [];
  let next = peers;
  const addPeer = async (): Promise<void> => {
    const peer = next++;
    await store.create("nodes", nameOf(peer), leaseOf(peer));
    const written = performance.now();
    await until(() => isRouted(rtnl, peer), 10_000);
    times.push(performance.now() - written);
  };
  const addAll = async (): Promise<void> => {
    for (let change = 0; change < changes; change++) await addPeer();
  };
  const spent = await processorDuring(node, addAll);
  const each = (sum(node.kernelWrites()) - before) / changes;
  const { p50, p99 } = summarize(times);
  findings.push(["a node more, from its lease to its route, p50 / p99", `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`]);
  findings.push(["processor time for it", milliseconds(spent.processor / changes)]);
  findings.push(["kernel writes for it", String(each), each === writesOfOnePeer]);
  const restarts: number[] = [];
  for (let restart = 0; restart < 5; restart++) {
    await node.stop();
    const again = performance.now();
    await node.start();
    restarts.push(performance.now() - again);
  }
  const median = milliseconds(summarize(restarts).p50);
  findings.push(["restart with everything in place, from the process to ready, median of 5", median]);
  // A table with the flags owner and persist belongs to a process; the next has to say that it takes it over.
  const { "table.add": takeovers = 0, ...others } = node.kernelWrites();
  const writes = sum(others);
  findings.push([
    "kernel writes of the restart",
    `${writes}, and ${takeovers} to take the nftables table over`,
    writes === 0,
  ]);
  return findings;
}

interface Spent {
  /** Milliseconds. */
  readonly processor: number;
  readonly elapsed: number;
}

async function processorDuring(node: AgentNode, work: () => Promise<void>): Promise<Spent> {
  const [processor, started] = [node.processorInAll(), performance.now()];
  await work();
  return { processor: node.processorInAll() - processor, elapsed: performance.now() - started };
}

const perSecond = ({ processor, elapsed }: Spent): number => (processor / elapsed) * 1000;
/** Neighbour, FDB entry, route. */
const writesOfOnePeer = 3;

const milliseconds = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

async function until(holds: () => boolean, patience: number): Promise<void> {
  const deadline = performance.now() + patience;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`the kernel is not as it should be after ${patience / 1000} s`);
    await Bun.sleep(1);
  }
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
