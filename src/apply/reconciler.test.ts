import { expect, test } from "bun:test";
import { isRealRoot } from "../../test/support/privilege.ts";
import { parseAddress } from "../base/address.ts";
import { parsePrefix, prefixFamily } from "../base/prefix.ts";
import type { RtnlEvent } from "../kernel/rtnl.ts";
import type { DesiredChange, DesiredPeer } from "../objects/desired.ts";
import {
  desiredFor,
  macOf,
  type Node,
  node,
  picture,
  reconcilerIn,
  routesOf,
  tunnel,
  tunnel6,
  withPeers,
} from "./reconciler.fixture.ts";

test("makes everything, in order, and writes nothing the second time, nor after a restart", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1, 2, 3]));
  const report = subject.settle();
  expect(report.problems).toEqual([]);
  expect(report.waiting).toBe(0);
  expect(report.writes).toEqual({
    sysctl: 4,
    "link.add": 2,
    "address.replace": 2,
    "neighbour.replace": 6,
    "fdb.replace": 6,
    "route.add": 8,
  });
  const made = picture(subject);
  expect(made.filter((line) => line.includes("proto 84") || line.includes("via")).length).toBe(8);
  expect(subject.netns.run("ip", "-d", "link", "show", "flannel.1")).toContain("noudpcsum");
  expect(subject.netns.run("ip", "link", "show", "flannel.1")).toContain("alias twill");

  expect(subject.settle().writes).toEqual({});
  subject.reconciler.resync();
  expect(subject.settle().writes).toEqual({});

  const restarted = reconcilerIn(subject.netns, subject.far);
  restarted.reconciler.setDesired(desiredFor([1, 2, 3]));
  const again = restarted.settle();
  expect(again.writes).toEqual({});
  expect(again.problems).toEqual([]);
  expect(picture(subject)).toEqual(made);
});

test("forwarding and loose rp_filter are as sysctl reads them", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1]));
  subject.settle();
  const value = (name: string) => subject.netns.run("sysctl", "-n", name).trim();
  expect(value("net.ipv4.ip_forward")).toBe("1");
  expect(value("net.ipv6.conf.all.forwarding")).toBe("1");
  expect(value("net.ipv4.conf.flannel/1.rp_filter")).toBe("2");
});

const opsOf = (of: Pick<Node, "written">): readonly string[] => of.written.map(({ op }) => op);

test("additions follow dependencies, removals reverse them", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1], [tunnel()]));
  subject.settle();
  expect(opsOf(subject).filter((op) => op !== "link.set")).toEqual([
    "link.add",
    "address.replace",
    "neighbour.replace",
    "fdb.replace",
    "route.add",
    "route.add",
    "route.add",
  ]);
  subject.written.length = 0;
  subject.reconciler.setDesired(desiredFor([], [tunnel()]));
  subject.settle();
  expect(opsOf(subject)).toEqual(["route.delete", "fdb.delete", "neighbour.delete"]);
});

test("a peer with a new tunnel address: forwarding first, then the neighbour, then the old forwarding entry goes", () => {
  const subject = node();
  const before = desiredFor([1], [tunnel()]);
  subject.reconciler.setDesired(before);
  subject.settle();
  subject.written.length = 0;
  const moved = <T>(entries: readonly T[]) => entries.map((entry) => ({ ...entry, mac: macOf(99) }));
  subject.reconciler.setDesired(
    withPeers(before, (part) => ({ ...part, neighbours: moved(part.neighbours), fdb: moved(part.fdb) })),
  );
  expect(subject.settle().problems).toEqual([]);
  expect(opsOf(subject)).toEqual(["fdb.replace", "neighbour.replace", "fdb.delete"]);
});

test("from tunnel to direct route and back, the route is replaced in one message and is never away", () => {
  const subject = node();
  const tunnelled = desiredFor([1]);
  subject.reconciler.setDesired(tunnelled);
  subject.settle();
  const direct = withPeers(tunnelled, (part) => ({
    neighbours: [],
    fdb: [],
    routes: part.routes.map((route) => {
      const gateway = prefixFamily(route.destination) === 6 ? parseAddress("fd01::7") : parseAddress("192.168.0.7");
      return { ...route, device: "eth0", gateway, onlink: false };
    }),
  }));
  subject.tap.take();
  for (const state of [direct, tunnelled]) {
    subject.reconciler.setDesired(state);
    const events: RtnlEvent[] = [];
    expect(subject.reconciler.flush().problems).toEqual([]);
    for (const event of subject.tap.take()) {
      events.push(event);
      subject.reconciler.onEvent(event);
    }
    const gone = events.filter((event) => event.type === "route" && event.change === "delete");
    const keys = gone.map((event) => (event.type === "route" ? event.route.destination : ""));
    expect(routesOf(state).filter(({ destination }) => keys.includes(destination))).toEqual([]);
    expect(subject.settle().writes).toEqual({});
  }
  const fresh = node();
  fresh.reconciler.setDesired(tunnelled);
  fresh.settle();
  const withoutMac = (lines: readonly string[]) => lines.filter((line) => !line.includes("mtu"));
  expect(withoutMac(picture(subject))).toEqual(withoutMac(picture(fresh)));
});

test("a device that cannot be changed in place is made anew, and everything on it is back in the same flush", () => {
  for (const change of [{ port: 4789 }, { learning: true }, { gbp: true }, { local: parseAddress("192.168.0.9") }]) {
    const subject = node();
    subject.netns.run("ip", "address", "add", "192.168.0.9/24", "dev", "eth0");
    subject.reconciler.setDesired(desiredFor([1, 2]));
    subject.settle();
    subject.reconciler.setDesired(desiredFor([1, 2], [tunnel(change), tunnel6()]));
    expect(subject.settle().problems).toEqual([]);
    const direct = node();
    direct.netns.run("ip", "address", "add", "192.168.0.9/24", "dev", "eth0");
    direct.reconciler.setDesired(desiredFor([1, 2], [tunnel(change), tunnel6()]));
    direct.settle();
    expect(picture(subject)).toEqual(picture(direct));
    expect(subject.settle().writes).toEqual({});
  }
});

test("another VNI is another device; the old one goes with all that is on it, in one message", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1, 2], [tunnel()]));
  subject.settle();
  subject.written.length = 0;
  subject.reconciler.setDesired(desiredFor([1, 2], [tunnel({ vni: 7 }, "flannel.7")]));
  expect(subject.settle().problems).toEqual([]);
  expect(opsOf(subject).filter((op) => op.endsWith("delete"))).toEqual(["link.delete"]);
  expect(opsOf(subject).at(-1)).toBe("link.delete");
  expect(picture(subject).join("\n")).not.toContain("flannel.1");
  expect(subject.settle().writes).toEqual({});
});

test("after a restart with another configuration nothing stale is left", () => {
  const before = node();
  before.reconciler.setDesired(desiredFor([1, 2, 3]));
  before.settle();
  const restarted = reconcilerIn(before.netns, before.far);
  restarted.reconciler.setDesired(desiredFor([2, 5], [tunnel({ vni: 7, port: 4789 }, "flannel.7"), tunnel6()]));
  expect(restarted.settle().problems).toEqual([]);
  const fresh = node();
  fresh.reconciler.setDesired(desiredFor([2, 5], [tunnel({ vni: 7, port: 4789 }, "flannel.7"), tunnel6()]));
  fresh.settle();
  expect(picture(restarted)).toEqual(picture(fresh));
});

test("taking everything away leaves the namespace as it was, sysctls apart", () => {
  const subject = node();
  const all = () => [
    subject.netns.run("ip", "-o", "link"),
    subject.netns.run("ip", "-4", "route", "show", "table", "all"),
    subject.netns.run("ip", "-6", "route", "show", "table", "main"),
    subject.netns.run("ip", "neigh", "show", "nud", "permanent"),
    // A forwarding node joins the all-routers group on every device; that is the sysctl's doing.
    subject.netns.run("bridge", "fdb").replaceAll(/^33:33.*\n/gm, ""),
  ];
  const before = all();
  subject.reconciler.setDesired(desiredFor([1, 2, 3]));
  subject.settle();
  expect(subject.reconciler.removeAll().problems).toEqual([]);
  expect(all()).toEqual(before);
});

const crowd = isRealRoot() ? 5000 : 40;

test(`one peer among ${crowd} costs three messages and no dump`, () => {
  const subject = node();
  const part = (peer: number): DesiredPeer => {
    const first = `10.${(peer >> 8) + 1}.${peer & 255}.0`;
    const [device, gateway] = ["flannel.1", parseAddress(first)];
    return {
      neighbours: [{ device, address: gateway, mac: macOf(peer) }],
      fdb: [{ device, mac: macOf(peer), remote: parseAddress(`172.16.${peer >> 8}.${peer & 255}`) }],
      routes: [{ destination: parsePrefix(`${first}/24`), device, gateway, onlink: true, metric: 0 }],
    };
  };
  const parts = (count: number) =>
    new Map(Array.from({ length: count }, (_, peer) => [`peer-${peer}`, part(peer)] as const));
  const { own } = desiredFor([], [tunnel()]);
  subject.reconciler.setDesired({ own, peers: parts(crowd) });
  expect(subject.settle().problems).toEqual([]);
  subject.settle();
  const dumps = subject.netns.rtnl.counters.dumps;
  const ways: readonly DesiredChange[] = [
    { peers: new Map([[`peer-${crowd}`, part(crowd)]]) },
    { own, peers: parts(crowd + 2) },
  ];
  for (const change of ways) {
    const start = performance.now();
    subject.reconciler.setDesired(change);
    const report = subject.settle();
    const took = performance.now() - start;
    const way = change.own === undefined ? "told alone" : "among all, told anew";
    console.log(`one peer more beside ${crowd}, ${way}: ${took.toFixed(1)} ms in the reconciler and kernel`);
    expect(report.writes).toEqual({ "neighbour.replace": 1, "fdb.replace": 1, "route.add": 1 });
    expect(subject.netns.rtnl.counters.dumps).toBe(dumps);
  }
  subject.netns.run("ip", "route", "del", "10.1.9.0/24");
  expect(subject.settle().writes).toEqual({ "route.add": 1 });
  expect(subject.netns.rtnl.counters.dumps).toBe(dumps);
});
