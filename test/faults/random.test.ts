import { afterAll, beforeAll, expect, test } from "bun:test";
import { pick, type Random, seededRandom } from "../../src/base/random.ts";
import { type Fault, faultKinds, type Ground, type NodeFacts } from "./fault-kinds.fixture.ts";
import { FaultLab, until } from "./fault-lab.fixture.ts";
import { type PlacedPair, SteadyTraffic } from "./steady-traffic.fixture.ts";
import { podPair } from "./switch.fixture.ts";

/** `npm run faults` sets these: ten nodes for twenty minutes. */
const seconds = Number(process.env.TWILL_FAULTS_SECONDS ?? 20);
const nodeCount = Number(process.env.TWILL_FAULTS_NODES ?? 5);
const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
const faultsAtATime = seconds > 60 ? 3 : 2;
/** Between two datagrams of a pair, milliseconds. */
const interval = 50;
/** A path has so long to work again, from the end of what was done to it. */
const patience = 90_000;
/** A datagram sent just before a fault begins may still be on its way. */
const underWay = 30;

const config = {
  ...{ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/56" },
  Backend: { Type: "vxlan", DirectRouting: true },
};
const random: Random = seededRandom(seed);
const names = Array.from({ length: nodeCount }, (_, index) => `node${index + 1}`);
const guest = names.at(-1) ?? "";
const hosts = names.slice(0, -1);
/** When what was done to which pair's path, and when the path worked again. */
const windows = new Map<PlacedPair, { readonly from: number; readonly to: number }[]>();
const story: string[] = [];
let lab: FaultLab;
let traffic: SteadyTraffic | undefined;

beforeAll(async () => {
  process.env.TWILL_TEST_CLOCK_OFFSET_FILE = "/run/twill/clock-offset";
  try {
    lab = await FaultLab.up({ nodes: nodeCount, subnets: 2, pods: 1, config });
  } finally {
    delete process.env.TWILL_TEST_CLOCK_OFFSET_FILE;
  }
  for (const node of hosts) await lab.call("addPod", { node, pod: "pod-b" });
}, 400_000);
afterAll(async () => {
  traffic?.close();
  await lab?.[Symbol.asyncDispose]();
});

test(
  `${nodeCount} nodes, every fault at random for ${seconds} s: all heals, and who was not touched lost nothing`,
  async () => {
    console.log(`TWILL_SEED=${seed}`);
    const ground: Ground = { lab, random, nodes: await facts(), smallDisk: hosts[1] ?? "", guest, config };
    await putOnSmallDisk(ground.smallDisk);
    traffic = new SteadyTraffic(await pairs(), interval);
    await until(() => traffic?.flows.every((flow) => flow.worksSince(0)) === true, "traffic flows");
    const started = performance.now();
    const failures = await play(ground, started + seconds * 1000);
    await traffic.stop();
    const count = story.length;
    console.log(`${count} faults in ${Math.round((performance.now() - started) / 1000)} s`);
    const lost = unexcused(started);
    if (failures.length > 0 || lost.length > 0)
      throw new Error([`TWILL_SEED=${seed}`, ...story, ...failures, ...lost].join("\n"));
    expect(count).toBeGreaterThan(seconds / 10);
  },
  (seconds + 240) * 1000,
);

test("at the end every path works, nothing is wrong, and nothing is left of what is gone", async () => {
  expect(await lab.brokenPaths(60)).toEqual([]);
  for (const node of names) {
    await until(
      async () => (await lab.status(node)).problems.length === 0,
      () => `nothing is wrong on ${node}; its log:\n${lab.log(node).slice(-2000)}`,
    );
  }
  const subnets = (await lab.leases()).flatMap((lease) => lease.subnets);
  expect((await lab.objects("nodes")).sort()).toEqual([...names].sort());
  expect((await lab.objects("subnets")).sort()).toEqual(subnets.map((subnet) => subnet.replace(/[:/]/g, "-")).sort());
  for (const node of names) {
    const pods = node === guest ? 1 : 2;
    const devices = (await lab.on(node, "ip -o link | cut -d: -f2 | cut -d@ -f1"))
      .split(/\s+/)
      .filter((name) => name !== "");
    const own = devices.filter((name) => !name.startsWith("twl"));
    expect(own.sort()).toEqual(["eth0", "flannel-v6.1", "flannel.1", "lo"]);
    expect(devices.length - own.length).toBe(pods);
    expect((await lab.status(node)).addresses.used).toBe(pods);
    // Everything beyond what is wanted would be removed by a restarted agent, and what is missing made.
    await lab.agent(node, "restart");
    await until(async () => (await lab.attempt(node, "curl -sf http://127.0.0.1:9099/readyz")).status === 0, "ready");
    const writes = [...(await lab.metric(node, "twill_kernel_writes_total"))];
    const others = writes.filter(([op, times]) => times > 0 && !op.includes("table.add"));
    expect([node, others]).toEqual([node, []]);
  }
}, 400_000);

/** The faults, several at a time, until the time is over. @returns what went wrong with them. */
async function play(ground: Ground, deadline: number): Promise<string[]> {
  const failures: string[] = [];
  const held = new Set<string>();
  let bag: (typeof faultKinds)[number][] = [];
  /** Each kind once before any comes again; whose place is taken by another fault waits for its turn. */
  const next = (): Fault | undefined => {
    if (bag.length === 0) bag = [...faultKinds];
    for (let attempt = 0; attempt < 20; attempt++) {
      const make = pick(random, bag);
      const fault = make(ground);
      if (fault.holds.some((name) => held.has(name))) continue;
      bag = bag.filter((other) => other !== make);
      return fault;
    }
    return undefined;
  };
  const work = async (): Promise<void> => {
    while (performance.now() < deadline && failures.length === 0) {
      const fault = next();
      if (fault === undefined) {
        await Bun.sleep(100);
        continue;
      }
      for (const name of fault.holds) held.add(name);
      try {
        await happen(fault);
      } catch (error) {
        failures.push(`${fault.what}: ${error instanceof Error ? error.message : String(error)}`);
        for (const name of fault.holds) if (names.includes(name)) failures.push(await sightOf(name));
      } finally {
        for (const name of fault.holds) held.delete(name);
      }
      await Bun.sleep(random.below(500));
    }
  };
  await Promise.all(Array.from({ length: faultsAtATime }, work));
  return failures;
}

async function happen(fault: Fault): Promise<void> {
  const touched = (traffic?.flows ?? []).filter(({ pair }) => fault.touches(pair));
  const from = performance.now();
  const close = () => {
    const to = performance.now();
    for (const { pair } of touched) windows.set(pair, [...(windows.get(pair) ?? []), { from: from - underWay, to }]);
    return to;
  };
  try {
    await Promise.race([fault.run(), Bun.sleep(patience).then(() => Promise.reject(new Error("it never ends")))]);
    const done = performance.now();
    const broken = () => touched.filter((flow) => !flow.worksSince(done)).map(({ pair }) => pair.name);
    await until(
      () => broken().length === 0,
      () => `still broken: ${broken().join("; ")}`,
      patience,
    );
  } finally {
    const to = close();
    const line = `${Math.round(from)} to ${Math.round(to)}: ${fault.what}, ${touched.length} pairs touched`;
    story.push(line);
    if (seconds > 60) console.log(line);
  }
}

/** What the person on call would look at. */
async function sightOf(node: string): Promise<string> {
  const looks = [
    "twill doctor",
    "ip -o -d link; ip -o addr",
    "ip route; ip -6 route",
    "for device in flannel.1 flannel-v6.1; do ip neigh show dev $device; bridge fdb show dev $device; done",
  ];
  const seen = await Promise.all(looks.map(async (look) => [`# ${look}`, (await lab.attempt(node, look)).stdout]));
  return [`--- ${node}`, ...seen.flat(), lab.log(node).slice(-8_000)].join("\n");
}

/** Losses at moments when nothing was done to the pair's path. */
const unexcused = (started: number): string[] =>
  (traffic?.flows ?? []).flatMap((flow) => {
    const { pair } = flow;
    const excuses = windows.get(pair) ?? [];
    const moments = flow.lost().filter((at) => at > started && !excuses.some(({ from, to }) => from <= at && at <= to));
    if (moments.length === 0) return [];
    return [`${pair.name} lost ${moments.length}, at ${moments.slice(0, 10).map(Math.round).join(", ")}`];
  });

async function facts(): Promise<NodeFacts[]> {
  const { view } = await lab.call("status", null);
  return view.subnets.flatMap((subnet, index) =>
    subnet.nodes
      .filter(({ name }) => hosts.includes(name))
      .map(({ name, addresses, podSubnets }) => ({
        name,
        lan: index + 1,
        address: addresses[0] ?? "",
        subnets: podSubnets,
      })),
  );
}

/** Around the nodes, across the links, and inside each node; one in two by IPv6. */
async function pairs(): Promise<PlacedPair[]> {
  const wanted = hosts.flatMap((from, index) => [
    [from, from, "pod-b"] as const,
    [from, hosts[(index + 1) % hosts.length] ?? "", "pod-a"] as const,
    [from, hosts[(index + Math.ceil(hosts.length / 2)) % hosts.length] ?? "", "pod-a"] as const,
  ]);
  return await Promise.all(
    wanted.map(async ([from, to, pod], index) => ({
      ...(await podPair(lab, `${from}/pod-a`, `${to}/${pod}`, index % 2 === 0 ? 4 : 6)),
      nodes: [from, to] as const,
    })),
  );
}

/** A small disk of the node's own, under the agent and the plugin. */
async function putOnSmallDisk(node: string): Promise<void> {
  await lab.agent(node, "stop");
  await lab.on(
    node,
    "cp -a /var/lib/twill /tmp/twill-state-$$; mount -t tmpfs -o size=2m tmpfs /var/lib/twill; cp -a /tmp/twill-state-$$/. /var/lib/twill; rm -r /tmp/twill-state-$$",
  );
  await lab.agent(node, "start");
}
