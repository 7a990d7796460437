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
const size = { transfer: "100M", turn: 250 };
const turns = { transfer: 80, roundTrip: 60 };
/** Both ends on the first processor, as onFirstProcessor (affinity.ts) does it for datagrams. */
const affinity = "-A 0,0";

/**
 * Pod to pod through a cluster that Twill made and through one laid by hand, in turns that are short against the machine's
 * moods: a tenth of a second of one TCP stream, or a few milliseconds of datagrams there and back.
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
        const { speed, economy } = await measureTransfers(
          { ours, theirs },
          path.to,
          Math.ceil(turns.transfer * scale),
          (done) => progress(`${what}: TCP, ${done}`),
        );
        rows.push(compare({ what: `${what}: TCP`, against: "by hand", unit: "Gbit/s", ...speed, goal }));
        const economyOf = `${what}: TCP by processor time`;
        rows.push(compare({ what: economyOf, against: "by hand", unit: "Gbit/s", ...economy, goal }));
        progress(`${what}: round trips`);
        const trips = await measureTrips({ ours, theirs }, path.to, Math.ceil(turns.roundTrip * scale));
        rows.push(compare({ what: `${what}: round trip`, against: "by hand", unit: "µs", ...trips, goal }));
      }
    } finally {
      ours.close();
      theirs.close();
    }
  }
  return rows;
}

interface Sides {
  readonly ours: Cluster;
  readonly theirs: Cluster;
}

async function measureTransfers(
  sides: Sides,
  to: string,
  rounds: number,
  progress: (done: string) => void,
): Promise<{ readonly speed: Pairs; readonly economy: Pairs }> {
  const servers = Object.values(sides).map((side: Cluster) => side.place(to).start("iperf3 -s"));
  const of = (side: Cluster) => () => transfer(side.place(from), side.address(to));
  const transfers = { ours: of(sides.ours), theirs: of(sides.theirs) };
  const speed = { ours: [] as number[], theirs: [] as number[] };
  const economy = { ours: [] as number[], theirs: [] as number[] };
  try {
    await Bun.sleep(300); // until they listen
    for (let round = -2; round < rounds; round++) {
      progress(`${Math.max(0, round)} of ${rounds}`);
      // Who is second finds warmer caches, or the other's leftovers: they swap.
      const order = round % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
      for (const side of order) {
        const done = transfers[side]();
        if (round < 0) continue;
        speed[side].push(done.speed);
        economy[side].push(done.economy);
      }
    }
    return { speed, economy };
  } finally {
    for (const server of servers) server.kill("SIGKILL");
  }
}

/** One stream, in Gbit: a second as the receiver saw it, and a second of both ends' processor time, which others do not steal. */
function transfer(pod: Namespace, address: string): { readonly speed: number; readonly economy: number } {
  for (let attempt = 0; ; attempt++) {
    const report = JSON.parse(pod.run(`iperf3 -J -c ${address} -n ${size.transfer} ${affinity}`));
    if (report.error === undefined) {
      const { sum_received: received, cpu_utilization_percent: percent } = report.end;
      const speed = received.bits_per_second / 1e9;
      return { speed, economy: speed / ((percent.host_total + percent.remote_total) / 100) };
    }
    // The server may still be closing the transfer before.
    if (attempt === 20) throw new Error(`iperf3: ${report.error}`);
    Bun.sleepSync(10);
  }
}

async function measureTrips(
  sides: Sides,
  to: string,
  rounds: number,
): Promise<{ readonly ours: number[]; readonly theirs: number[]; readonly pairs: Pairs }> {
  const trip = (side: Cluster) => new RoundTrip(side.place(from), side.place(to), side.address(to));
  const trips = { ours: trip(sides.ours), theirs: trip(sides.theirs) };
  const result = {
    ours: [] as number[],
    theirs: [] as number[],
    pairs: { ours: [] as number[], theirs: [] as number[] },
  };
  try {
    for (const side of ["ours", "theirs"] as const) await trips[side].ready();
    for (let round = -2; round < rounds; round++)
      for (const side of ["ours", "theirs"] as const) {
        const times = trips[side].measure(size.turn);
        if (round < 0) continue;
        result[side].push(...times);
        result.pairs[side].push(summarize(times).p50);
      }
    return result;
  } finally {
    for (const side of ["ours", "theirs"] as const) trips[side].close();
  }
}

interface Pairs {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}
