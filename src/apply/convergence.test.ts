import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { parsePrefix } from "../base/prefix.ts";
import { pick, type Random, seededRandom } from "../base/random.ts";
import type { RtnlOperation } from "../kernel/rtnl.ts";
import type { DesiredKernel, DesiredRoute } from "../objects/desired.ts";
import { mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import { desiredFor, macOf, type Node, node, reconcilerIn, tunnel, tunnel6, withPeers } from "./reconciler.fixture.ts";

/** Random clusters: some peers, the first of them direct, the device sometimes another. */
function randomDesired(random: Random): DesiredKernel {
  const peers = [1, 2, 3, 4, 5, 6].filter(() => random.below(3) > 0);
  const links = pick(random, [
    [tunnel(), tunnel6()],
    [tunnel(), tunnel6()],
    [tunnel({ port: 4789 }), tunnel6()],
    [tunnel({ vni: 7 }, "flannel.7")],
    [{ ...tunnel(), mtu: 1400, mac: macOf(77) }],
  ]);
  const state = desiredFor(peers, links);
  const direct = new Set(peers.filter(() => random.below(4) === 0));
  return withPeers(state, (part) => ({ ...part, routes: part.routes.map(straighten) }));

  function straighten(route: DesiredRoute): DesiredRoute {
    const peer = peers.find((number) => direct.has(number) && route.destination.startsWith(`10.244.${number}.`));
    if (peer === undefined) return route;
    return { ...route, device: "eth0", gateway: parseAddress(`192.168.0.${peer}`), onlink: false };
  }
}

/** One change by somebody else's hand, among what is there. Some of them fail; that is life. */
function vandalism(random: Random, { netns }: Node): RtnlOperation {
  const { rtnl } = netns;
  const ours = rtnl.links().filter((link) => link.alias === "twill");
  const device = ours.length > 0 ? pick(random, ours) : pick(random, rtnl.links());
  const route: Route = {
    destination: parsePrefix(`10.244.${random.below(8)}.0/24`),
    type: "unicast",
    table: mainTable,
    protocol: pick(random, [TWILL_ROUTE_PROTOCOL, TWILL_ROUTE_PROTOCOL, 85]),
    scope: "universe",
    metric: pick(random, [0, 0, 50]),
    gateway: parseAddress("192.168.0.99"),
    device: netns.indexOf("eth0"),
  };
  const routes = rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable });
  const neighbours = rtnl.neighbours({ device: device.index }).filter((entry) => entry.state === "permanent");
  const entries = rtnl.fdb({ device: device.index });
  const mac = macOf(random.below(9));
  const choices: readonly (() => RtnlOperation | undefined)[] = [
    () => (routes.length > 0 ? { op: "route.delete", route: pick(random, routes) } : undefined),
    () => (route.protocol === TWILL_ROUTE_PROTOCOL ? { op: "route.replace", route } : { op: "route.add", route }),
    () => (neighbours.length > 0 ? { op: "neighbour.delete", neighbour: pick(random, neighbours) } : undefined),
    () => ({
      op: "neighbour.replace",
      neighbour: {
        device: device.index,
        address: parseAddress(`10.244.${random.below(8)}.0`),
        mac,
        state: "permanent",
      },
    }),
    () => (entries.length > 0 ? { op: "fdb.delete", entry: pick(random, entries) } : undefined),
    () => ({
      op: pick(random, ["fdb.replace", "fdb.append"] as const),
      entry: { device: device.index, mac, remote: parseAddress("192.168.0.99"), state: "permanent", self: true },
    }),
    () => ({ op: "link.set", index: device.index, change: { mtu: 1200 + random.below(200) } }),
    () => ({ op: "link.set", index: device.index, change: { mac: macOf(50 + random.below(9)) } }),
    () => ({ op: "link.set", index: device.index, change: { up: random.below(2) === 0 } }),
    () => ({ op: "link.delete", index: device.index }),
    () => ({
      op: "address.add",
      address: { device: device.index, address: parseAddress("10.9.9.9"), length: 32, scope: "universe" },
    }),
    () => ({ op: "link.set", index: netns.indexOf("eth0"), change: { up: false } }),
  ];
  for (;;) {
    const operation = pick(random, choices)();
    if (operation !== undefined && (operation.op !== "link.delete" || device.alias === "twill")) return operation;
  }
}

/** What is ours in the kernel, and what of it is desired, in the same words. */
function held({ netns }: Node): readonly string[] {
  const { rtnl } = netns;
  const links = rtnl.links();
  const name = (index: number | undefined) => links.find((link) => link.index === index)?.name ?? "?";
  const tunnels = links.filter((link) => link.alias === "twill");
  return [
    ...tunnels.map((link) => `link ${link.name} ${link.mac} ${link.mtu} ${link.up} ${JSON.stringify(link.kind)}`),
    ...tunnels.flatMap(({ index }) => [
      ...rtnl
        .addresses({ device: index })
        .filter((entry) => entry.scope !== "link")
        .map((entry) => `address ${name(index)} ${entry.address}/${entry.length}`),
      ...rtnl
        .neighbours({ device: index })
        .filter((entry) => entry.state === "permanent")
        .map((entry) => `neighbour ${name(index)} ${entry.address} ${entry.mac}`),
      ...rtnl.fdb({ device: index }).map((entry) => `fdb ${name(index)} ${entry.mac} ${entry.remote}`),
    ]),
    ...rtnl
      .routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable })
      .map(
        (route) =>
          `route ${route.destination} ${route.gateway} ${name(route.device)} ${route.onlink ?? false} ${route.metric}`,
      ),
  ].sort();
}

function wanted({ own, peers }: DesiredKernel, underlay: number): string[] {
  const parts = [...peers.values()];
  const links = own.links.map(({ name, mac, mtu, kind }) => {
    return { head: `link ${name} ${mac} ${mtu} true`, kind: { ...kind, underlay } };
  });
  return [
    ...links.map(({ head, kind }) => `${head} ${kind.vni} ${kind.port} ${kind.local} ${kind.underlay}`),
    ...own.addresses.map((entry) => `address ${entry.device} ${entry.address}/${entry.length}`),
    ...parts.flatMap((part) => [
      ...part.neighbours.map((entry) => `neighbour ${entry.device} ${entry.address} ${entry.mac}`),
      ...part.fdb.map((entry) => `fdb ${entry.device} ${entry.mac} ${entry.remote}`),
      ...part.routes.map(
        (route) => `route ${route.destination} ${route.gateway} ${route.device} ${route.onlink} ${route.metric}`,
      ),
    ]),
  ].sort();
}

const short = (line: string): string =>
  line.replace(/\{.*\}$/, (text) => {
    const kind = JSON.parse(text) as Record<string, unknown>;
    return `${kind.vni} ${kind.port} ${kind.local} ${kind.underlay}`;
  });

test("property: whatever others do and whatever is desired, the kernel converges to exactly that, and theirs stays", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    let subject = node();
    const eth0 = subject.netns.indexOf("eth0");
    let desired = randomDesired(random);
    subject.reconciler.setDesired(desired);
    const history: string[] = [];
    for (let step = 0; step < 12; step++) {
      const action = random.below(10);
      if (action < 6) {
        const operation = vandalism(random, subject);
        history.push(JSON.stringify(operation));
        subject.netns.rtnl.apply([operation]);
      } else if (action < 8) {
        desired = randomDesired(random);
        history.push("desired");
        subject.reconciler.setDesired(desired);
      } else if (action === 8) {
        history.push("restart");
        subject = reconcilerIn(subject.netns, subject.far);
        subject.reconciler.setDesired(desired);
      } else {
        history.push("overrun");
        subject.tap.take();
        subject.reconciler.onEvent({ type: "overrun" });
      }
      if (random.below(2) === 0) {
        history.push("settle");
        subject.settle();
      }
    }
    // The administrator brings back what is his.
    subject.netns.rtnl.apply([{ op: "link.set", index: eth0, change: { up: true, mtu: 1500 } }]);
    const address = parseAddress("fd01::1");
    subject.netns.rtnl.apply([
      { op: "address.replace", address: { device: eth0, address, length: 64, scope: "universe", noDad: true } },
    ]);
    const foreign = subject.netns.rtnl.routes({ protocol: 85 });
    for (const route of foreign) if (route.metric === 0) subject.netns.rtnl.do({ op: "route.delete", route });
    await subject.clock.advance(120_000);
    subject.settle();
    const report = subject.settle();
    const told = { seed, history, problems: report.problems, waiting: report.waiting };
    expect(told).toEqual({ seed, history, problems: [], waiting: 0 });
    expect({ seed, history, held: held(subject).map(short) }).toEqual({ seed, history, held: wanted(desired, eth0) });
    expect({ seed, writes: subject.settle().writes }).toEqual({ seed, writes: {} });
    expect(subject.netns.rtnl.routes({ protocol: 85 })).toEqual(foreign.filter((route) => route.metric !== 0));
  }
}, 120_000);
