import { join } from "node:path";
import { layByHand } from "./by-hand.ts";
import type { Cluster, Layout } from "./cluster.ts";
import { layByTwill } from "./lab-cluster.ts";
import type { Namespace } from "./namespace.ts";
import { type Comparison, compare } from "./report.ts";
import { RoundTrip } from "./round-trip.ts";
import type { Bench } from "./run.ts";
import { summarize } from "./statistics.ts";

const layouts: readonly Layout[] = [
  { name: "vxlan", backend: { Type: "vxlan" }, tunnel: true, mtu: 1450 },
  { name: "vxlan, DirectRouting", backend: { Type: "vxlan", DirectRouting: true }, tunnel: false, mtu: 1450 },
  { name: "host-gw", backend: { Type: "host-gw" }, tunnel: false, mtu: 1500 },
];
const from = "node1/pod-a";
const paths = [
  { name: "same node", to: "node1/pod-b" },
  { name: "across nodes", to: "node2/pod-a" },
] as const;
const goal = { least: 0.98, most: 1.02 };
/** TCP: bytes of one transfer. Round trips: datagrams before the other side takes its turn. */
const size = { transfer: "300M", turn: 250 };
const turns = { transfer: 30, roundTrip: 60 };

/**
 * Pod to pod through a cluster that Twill made and through one laid by hand, in turns that are short against the machine's
 * moods: a fifth of a second of one TCP stream, or a few milliseconds of datagrams there and back.
 */
export async function benchThroughput({ programs, folder, progress, scale }: Bench): Promise<Comparison[]> {
  const rows: Comparison[] = [];
  for (const layout of layouts) {
    progress(`${layout.name}: making both clusters`);
    const theirs = layByHand(layout);
    const ours = await layByTwill(programs, join(folder, "twill"), layout).catch((error) => {
      theirs.close();
      throw error;
    });
    try {
      for (const path of paths) {
        const what = `${layout.name}, ${path.name}`;
        const transfers = await measureTransfers([ours, theirs], path.to, Math.ceil(turns.transfer * scale), (done) =>
          progress(`${what}: TCP, ${done}`),
        );
        rows.push(compare({ what: `${what}: TCP`, against: "by hand", unit: "Gbit/s", ...transfers, goal }));
        progress(`${what}: round trips`);
        const trips = await measureTrips([ours, theirs], path.to, Math.ceil(turns.roundTrip * scale));
        rows.push(compare({ what: `${what}: round trip`, against: "by hand", unit: "µs", ...trips, goal }));
      }
    } finally {
      ours.close();
      theirs.close();
    }
  }
  return rows;
}

type Sides = readonly [Cluster, Cluster];

async function measureTransfers(
  sides: Sides,
  to: string,
  rounds: number,
  progress: (done: string) => void,
): Promise<{ readonly ours: number[]; readonly theirs: number[] }> {
  const servers = sides.map((side) => side.place(to).start("iperf3 -s"));
  const [ours, theirs] = sides.map((side) => () => transfer(side.place(from), side.address(to)));
  const result = { ours: [] as number[], theirs: [] as number[] };
  try {
    await Bun.sleep(300); // until they listen
    for (let round = -2; round < rounds; round++) {
      progress(`${Math.max(0, round)} of ${rounds}`);
      const pair = [ours?.() ?? 0, theirs?.() ?? 0] as const;
      if (round < 0) continue;
      result.ours.push(pair[0]);
      result.theirs.push(pair[1]);
    }
    return result;
  } finally {
    for (const server of servers) server.kill("SIGKILL");
  }
}

/** Gbit/s as the receiver saw it, one stream. */
function transfer(pod: Namespace, address: string): number {
  const report = JSON.parse(pod.run(`iperf3 -J -c ${address} -n ${size.transfer}`));
  return report.end.sum_received.bits_per_second / 1e9;
}

async function measureTrips(
  sides: Sides,
  to: string,
  rounds: number,
): Promise<{ readonly ours: number[]; readonly theirs: number[]; readonly pairs: Pairs }> {
  const trips = sides.map((side) => new RoundTrip(side.place(from), side.place(to), side.address(to)));
  const [ours, theirs] = trips;
  const result = {
    ours: [] as number[],
    theirs: [] as number[],
    pairs: { ours: [] as number[], theirs: [] as number[] },
  };
  try {
    for (const trip of trips) await trip.ready();
    for (let round = -2; round < rounds; round++) {
      const a = ours?.measure(size.turn) ?? [];
      const b = theirs?.measure(size.turn) ?? [];
      if (round < 0) continue;
      result.ours.push(...a);
      result.theirs.push(...b);
      result.pairs.ours.push(summarize(a).p50);
      result.pairs.theirs.push(summarize(b).p50);
    }
    return result;
  } finally {
    for (const trip of trips) trip.close();
  }
}

interface Pairs {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}
