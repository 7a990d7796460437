import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { kubernetesBinary } from "../lab/kubernetes/binaries.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { openDatastore } from "../src/store/open.ts";
import { AgentNode, processorOf } from "./agent-node.ts";
import { FlanneldNode } from "./flanneld-node.ts";
import { isRouted, kernelEntries, leaseOf, nameOf, networkOfPeers } from "./peer.ts";
import { type Comparison, compare, type Row } from "./report.ts";
import type { Bench } from "./run.ts";

const sizes = [1_000, 5_000];
const rounds = 7;
const changes = 20;
const goal = { most: 0.5 };

/** One side: a node that joins a cluster of simulated peers, over and over. */
interface Joiner {
  readonly name: string;
  /** Starts the daemon on a node on which it never ran. */
  launch(): Promise<void>;
  check(): void;
  rtnl(): Rtnl;
  addPeer(peer: number): Promise<void>;
  removePeer(peer: number): Promise<void>;
  /** MiB resident (VmRSS). */
  memory(): number;
  /** Milliseconds of processor time that the daemon has used, to 10 ms. */
  processor(): number;
  /** Takes the node away again. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

/**
 * A node joins a cluster of many, beside flanneld with etcd doing the same: from the start of the daemon's process until every
 * route, neighbour and FDB entry of the peers is in the kernel, asked of the kernel.
 */
export async function benchJoin({ programs, folder, progress, scale }: Bench): Promise<Row[]> {
  const peerPrograms = {
    etcd: await kubernetesBinary("etcd", progress),
    flanneld: await kubernetesBinary("flanneld", progress),
  };
  const rows: Row[] = [];
  for (const peers of sizes) {
    const own = join(folder, String(peers));
    mkdirSync(own);
    progress(`${peers} peers: writing their leases`);
    const joiners = [
      await twill(programs, join(own, "twill"), peers),
      await flanneld(peerPrograms, own, peers),
    ] as const;
    try {
      const samples = joiners.map(() => ({
        joining: [] as number[],
        processor: [] as number[],
        change: [] as number[],
        memory: [] as number[],
      }));
      const count = Math.max(2, Math.round(rounds * scale));
      for (let round = 0; round <= count; round++) {
        progress(`${peers} peers: ${round} of ${count} joins`);
        for (const [side, joiner] of joiners.entries()) {
          const found = await joinOnce(joiner, peers);
          if (round === 0) continue; // files that nobody has read yet
          samples[side]?.joining.push(found.joining);
          samples[side]?.processor.push(found.processor);
          samples[side]?.change.push(...found.change);
          samples[side]?.memory.push(found.memory);
        }
      }
      const [ours, theirs] = samples;
      if (ours === undefined || theirs === undefined) throw new Error("a side is missing");
      const row = (what: string, unit: string, key: keyof typeof ours, most?: { most: number }): Comparison =>
        compare({
          what: `${peers} peers: ${what}`,
          against: "flanneld",
          unit,
          ours: ours[key],
          theirs: theirs[key],
          ...(most === undefined ? {} : { goal: most }),
        });
      rows.push(
        row("a node joins, until the last entry", "ms", "joining", goal),
        row("processor time of the daemon for it", "ms", "processor"),
        row("a peer more, until its route", "ms", "change"),
        row("memory then (VmRSS)", "MiB", "memory"),
      );
    } finally {
      for (const joiner of joiners) await joiner.close();
    }
  }
  return rows;
}

interface Joined {
  readonly joining: number;
  readonly processor: number;
  readonly change: number[];
  readonly memory: number;
}

async function joinOnce(joiner: Joiner, peers: number): Promise<Joined> {
  const started = performance.now();
  await joiner.launch();
  const rtnl = joiner.rtnl();
  const samples = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.floor(share * (peers - 1)));
  for (const peer of samples) await until(joiner, () => isRouted(rtnl, peer));
  await until(joiner, () => kernelEntries(rtnl).every((count) => count >= peers));
  const [joining, processor] = [performance.now() - started, joiner.processor()];
  // Both have work left that belongs to starting: subnet.env, firewall, first looks.
  await Bun.sleep(1_000);
  const change: number[] = [];
  for (let peer = peers; peer < peers + changes; peer++) {
    await joiner.addPeer(peer);
    const written = performance.now();
    await until(joiner, () => isRouted(rtnl, peer));
    change.push(performance.now() - written);
  }
  const memory = joiner.memory();
  for (let peer = peers; peer < peers + changes; peer++) await joiner.removePeer(peer);
  await joiner.leave();
  return { joining, processor, change, memory };
}

async function until(joiner: Joiner, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 120_000;
  while (!holds()) {
    joiner.check();
    if (performance.now() > deadline) throw new Error(`${joiner.name}: the kernel is not as it should be after 120 s`);
    await Bun.sleep(1);
  }
}

async function twill(programs: string, folder: string, peers: number): Promise<Joiner> {
  mkdirSync(folder);
  const file = join(folder, "cluster.db");
  const store = await openDatastore(`embedded:${file}`);
  await Promise.all(Array.from({ length: peers }, (_, peer) => store.create("nodes", nameOf(peer), leaseOf(peer))));
  let round = 0;
  let node: AgentNode | undefined;
  let rtnl: Rtnl | undefined;
  const running = (): AgentNode => {
    if (node === undefined) throw new Error("no node has joined");
    return node;
  };
  const leave = async (): Promise<void> => {
    await node?.stop();
    rtnl?.close();
    node?.close();
    node = undefined;
    rtnl = undefined;
  };
  return {
    name: "twill",
    launch: async () => {
      node = new AgentNode(programs, join(folder, `round-${++round}`), networkOfPeers, `embedded:${file}`);
      rtnl = openRtnl({ netns: node.netns.fd });
      node.launch();
    },
    check: () => running().check(),
    rtnl: () => {
      if (rtnl === undefined) throw new Error("no node has joined");
      return rtnl;
    },
    addPeer: async (peer) => void (await store.create("nodes", nameOf(peer), leaseOf(peer))),
    removePeer: async (peer) => void (await store.delete("nodes", nameOf(peer))),
    memory: () => residentMemory(running().pid),
    processor: () => running().processorInAll(),
    leave: async () => {
      await leave();
      for (const kind of ["nodes", "subnets"])
        for (const { name } of (await store.list(kind)).objects)
          if (!name.startsWith("peer-")) await store.delete(kind, name);
    },
    close: async () => {
      await leave();
      await store.close();
    },
  };
}

async function flanneld(
  programs: { readonly etcd: string; readonly flanneld: string },
  folder: string,
  peers: number,
): Promise<Joiner> {
  const node = new FlanneldNode(programs, join(folder, "flanneld"));
  await node.open(networkOfPeers);
  await node.addPeers(0, peers);
  const rtnl = openRtnl({ netns: node.netns.fd });
  return {
    name: "flanneld",
    launch: async () => node.launch(),
    check: () => node.check(),
    rtnl: () => rtnl,
    addPeer: (peer) => node.addPeers(peer, 1),
    removePeer: (peer) => node.removePeer(peer),
    memory: () => residentMemory(node.pid),
    processor: () => processorOf(node.pid),
    leave: async () => {
      await node.stop();
      await node.reset();
    },
    close: async () => {
      rtnl.close();
      node.close();
    },
  };
}

function residentMemory(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) / 1024;
}
