import { expect, test } from "bun:test";
import { type TestNetns, testNetns, vethPair } from "../../test/support/netns.ts";
import { EventTap } from "../../test/support/rtnl-events.ts";
import { parseAddress } from "../base/address.ts";
import { FakeClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import { kernelSysctls } from "../kernel/sysctl.ts";
import {
  addressKey,
  type DesiredAddress,
  type DesiredFdbEntry,
  type DesiredKernel,
  type DesiredLink,
  type DesiredNeighbour,
  type DesiredRoute,
  type DesiredSysctl,
  defaultMetric,
  fdbKey,
  neighbourKey,
  routeKey,
  sysctlKey,
} from "../objects/desired.ts";
import { type ApplyReport, Reconciler } from "./reconciler.ts";

const pair = (number: number): string => number.toString(16).padStart(2, "0");
const macOf = (number: number) => parseMac(`0e:00:00:00:${pair(number >> 8)}:${pair(number & 255)}`);

function tunnel(change: Partial<DesiredLink["kind"]> = {}, name = "flannel.1"): DesiredLink {
  return {
    name,
    kind: {
      type: "vxlan",
      vni: 1,
      port: 8472,
      local: parseAddress("192.168.0.1"),
      underlay: "eth0",
      learning: false,
      gbp: false,
      outerChecksum: false,
      ...change,
    },
    mac: macOf(0),
    mtu: 1450,
    txChecksumOffload: true,
  };
}

const tunnel6 = (): DesiredLink => ({
  ...tunnel({ local: parseAddress("fd01::1"), outerChecksum: true }, "flannel-v6.1"),
  mtu: 1430,
});

/** A node with these peers behind its tunnels, and one peer by a direct route. */
function desiredFor(peers: readonly number[], links: readonly DesiredLink[] = [tunnel(), tunnel6()]): DesiredKernel {
  const names = links.map((link) => link.name);
  const [v4 = "", v6 = ""] = names;
  const addresses: DesiredAddress[] = [
    { device: v4, address: parseAddress("10.244.0.0"), length: 32 },
    { device: v6, address: parseAddress("fd00::"), length: 128 },
  ];
  const subnet6 = (peer: number) => `fd00:0:0:${peer.toString(16)}::`;
  const neighbours = peers.flatMap((peer): DesiredNeighbour[] => [
    { device: v4, address: parseAddress(`10.244.${peer}.0`), mac: macOf(peer) },
    { device: v6, address: parseAddress(subnet6(peer)), mac: macOf(peer) },
  ]);
  const fdb = peers.flatMap((peer): DesiredFdbEntry[] => [
    { device: v4, mac: macOf(peer), remote: parseAddress(`172.16.0.${peer}`) },
    { device: v6, mac: macOf(peer), remote: parseAddress(`fd02::${peer.toString(16)}`) },
  ]);
  const routes = peers.flatMap((peer): DesiredRoute[] => [
    {
      destination: parsePrefix(`10.244.${peer}.0/24`),
      device: v4,
      gateway: parseAddress(`10.244.${peer}.0`),
      onlink: true,
      metric: defaultMetric(4),
    },
    {
      destination: parsePrefix(`${subnet6(peer)}/64`),
      device: v6,
      gateway: parseAddress(subnet6(peer)),
      onlink: true,
      metric: defaultMetric(6),
    },
  ]);
  const direct: DesiredRoute[] = [
    {
      destination: parsePrefix("10.244.200.0/24"),
      device: "eth0",
      gateway: parseAddress("192.168.0.200"),
      onlink: false,
      metric: defaultMetric(4),
    },
    {
      destination: parsePrefix("fd00:0:0:c8::/64"),
      device: "eth0",
      gateway: parseAddress("fd01::c8"),
      onlink: false,
      metric: defaultMetric(6),
    },
  ];
  const sysctls: DesiredSysctl[] = [
    { name: ["ipv4", "ip_forward"], value: "1" },
    { name: ["ipv6", "conf", "all", "forwarding"], value: "1" },
    { name: ["ipv4", "conf", v4, "rp_filter"], value: "2", device: v4 },
  ];
  return {
    links: new Map(links.map((link) => [link.name, link])),
    addresses: new Map(addresses.map((entry) => [addressKey(entry), entry])),
    neighbours: new Map(neighbours.map((entry) => [neighbourKey(entry), entry])),
    fdb: new Map(fdb.map((entry) => [fdbKey(entry), entry])),
    routes: new Map([...routes, ...direct].map((entry) => [routeKey(entry), entry])),
    sysctls: new Map(sysctls.map((entry) => [sysctlKey(entry), entry])),
  };
}

interface Node {
  readonly netns: TestNetns;
  readonly clock: FakeClock;
  readonly tap: EventTap;
  readonly reconciler: Reconciler;
  /** Feeds all events, flushes. */
  settle(): ApplyReport;
}

/** A namespace with eth0 (192.168.0.1/24, fd01::1/64) on a wire, and a reconciler in it. */
function node(): Node {
  const netns = testNetns();
  const far = testNetns();
  vethPair({ netns, name: "eth0" }, { netns: far, name: "eth0" });
  netns.run("ip", "address", "add", "192.168.0.1/24", "dev", "eth0");
  netns.run("ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad");
  return reconcilerIn(netns);
}

function reconcilerIn(netns: TestNetns): Node {
  const clock = new FakeClock();
  const tap = new EventTap(netns.fd);
  const reconciler = new Reconciler({
    rtnl: netns.rtnl,
    sysctl: kernelSysctls(netns.fd),
    clock,
    log: silentLog,
  });
  const settle = () => {
    for (const event of tap.take()) reconciler.onEvent(event);
    return reconciler.flush();
  };
  return { netns, clock, tap, reconciler, settle };
}

/** What `ip` and `bridge` say of everything that is ours, in a form that compares. */
function picture({ netns }: Pick<Node, "netns">): readonly string[] {
  const lines = (...command: string[]) =>
    netns
      .run(...command)
      .split("\n")
      .map((line) => line.trim().replace(/\s+/g, " "))
      .filter((line) => line !== "");
  const devices = lines("ip", "-o", "link", "show", "type", "vxlan").map((line) => line.split(/[ :@]+/)[1] ?? "");
  return [
    ...lines("ip", "-4", "route", "show", "proto", "84"),
    ...lines("ip", "-6", "route", "show", "proto", "84"),
    ...devices.flatMap((device) => [
      ...lines("ip", "-o", "-d", "link", "show", device).map((line) =>
        line.replace(/^\d+: /, "").replace(/ qlen \d+/, ""),
      ),
      ...lines("ip", "-o", "address", "show", "dev", device, "scope", "global").map((line) =>
        line.replace(/^\d+: /, ""),
      ),
      ...lines("ip", "neighbour", "show", "dev", device, "nud", "permanent").map((line) => `${device} ${line}`),
      ...lines("bridge", "fdb", "show", "dev", device).map((line) => `${device} ${line}`),
    ]),
  ].sort();
}

test("makes everything, in order, and writes nothing the second time, nor after a restart", () => {
  const subject = node();
  subject.reconciler.setDesired(desiredFor([1, 2, 3]));
  const report = subject.settle();
  expect(report.problems).toEqual([]);
  expect(report.waiting).toBe(0);
  expect(report.writes).toEqual({
    sysctl: 3,
    "link.add": 2,
    ...(report.writes["link.set"] === undefined ? {} : { "link.set": 2 }),
    "address.replace": 2,
    "neighbour.replace": 6,
    "fdb.replace": 6,
    "route.add": 8,
  });
  const made = picture(subject);
  expect(made.filter((line) => line.includes("proto 84") || line.includes("via")).length).toBe(8);
  expect(subject.netns.run("ip", "-d", "link", "show", "flannel.1")).toContain("noudpcsum");
  expect(subject.netns.run("ip", "link", "show", "flannel.1")).toContain("alias twill");
  expect(subject.netns.enter(() => Bun.spawnSync(["cat", "/sys/class/net/flannel.1/addr_assign_type"]))).toBeDefined();

  expect(subject.settle().writes).toEqual({});
  subject.reconciler.resync();
  expect(subject.settle().writes).toEqual({});

  const restarted = reconcilerIn(subject.netns);
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

/** What a person, another program or the kernel may do to us. */
const damages: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "route deleted": [["ip", "route", "del", "10.244.1.0/24"]],
  "IPv6 route deleted": [["ip", "-6", "route", "del", "fd00:0:0:1::/64"]],
  "route replaced by one of another protocol": [["ip", "route", "replace", "10.244.1.0/24", "via", "192.168.0.77"]],
  "IPv6 route replaced": [["ip", "-6", "route", "replace", "fd00:0:0:1::/64", "via", "fd01::77"]],
  "route changed within our protocol": [
    ["ip", "route", "replace", "10.244.1.0/24", "via", "192.168.0.77", "proto", "84"],
  ],
  "direct route deleted": [["ip", "route", "del", "10.244.200.0/24"]],
  "stray route of ours added": [
    ["ip", "route", "add", "10.244.99.0/24", "via", "192.168.0.77", "proto", "84"],
    ["ip", "-6", "route", "add", "fd00:0:0:99::/64", "via", "fd01::77", "proto", "84"],
  ],
  "neighbour deleted": [["ip", "neigh", "del", "10.244.1.0", "dev", "flannel.1"]],
  "neighbour changed": [
    ["ip", "neigh", "replace", "10.244.1.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1", "nud", "permanent"],
  ],
  "neighbour no longer permanent": [
    ["ip", "neigh", "replace", "10.244.1.0", "lladdr", "0e:00:00:00:00:01", "dev", "flannel.1", "nud", "reachable"],
  ],
  "stray neighbour added": [
    ["ip", "neigh", "add", "10.244.99.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1", "nud", "permanent"],
  ],
  "forwarding entry deleted": [["bridge", "fdb", "del", "0e:00:00:00:00:01", "dev", "flannel.1"]],
  "forwarding entry leads elsewhere": [
    ["bridge", "fdb", "replace", "0e:00:00:00:00:01", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "forwarding entry leads elsewhere too": [
    ["bridge", "fdb", "append", "0e:00:00:00:00:01", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "stray forwarding entry added": [
    ["bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "flannel.1", "dst", "192.168.0.99"],
  ],
  "address deleted": [["ip", "address", "del", "10.244.0.0/32", "dev", "flannel.1"]],
  "IPv6 address deleted": [["ip", "address", "del", "fd00::/128", "dev", "flannel-v6.1"]],
  "stray address added": [["ip", "address", "add", "10.9.9.9/32", "dev", "flannel.1"]],
  "MAC changed": [["ip", "link", "set", "flannel.1", "address", "02:aa:aa:aa:aa:aa"]],
  "MTU changed": [["ip", "link", "set", "flannel.1", "mtu", "1300"]],
  "alias changed": [["ip", "link", "set", "flannel.1", "alias", "mine"]],
  "device down": [["ip", "link", "set", "flannel.1", "down"]],
  "IPv6 device down and up": [
    ["ip", "link", "set", "flannel-v6.1", "down"],
    ["ip", "link", "set", "flannel-v6.1", "up"],
  ],
  "device deleted": [["ip", "link", "del", "flannel.1"]],
  "both devices deleted": [
    ["ip", "link", "del", "flannel.1"],
    ["ip", "link", "del", "flannel-v6.1"],
  ],
  "device renamed": [
    ["ip", "link", "set", "flannel.1", "down"],
    ["ip", "link", "set", "flannel.1", "name", "gotcha"],
  ],
  "device made anew with another port": [
    ["ip", "link", "del", "flannel.1"],
    ["ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "4789", "local", "192.168.0.1"],
    ["ip", "link", "set", "flannel.1", "alias", "twill"],
  ],
  "underlay flaps, its IPv6 address comes back": [
    ["ip", "link", "set", "eth0", "down"],
    ["ip", "link", "set", "eth0", "up"],
    ["ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad"],
  ],
  "underlay loses its addresses and gets them back": [
    ["ip", "address", "flush", "dev", "eth0"],
    ["ip", "address", "add", "192.168.0.1/24", "dev", "eth0"],
    ["ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad"],
  ],
};

for (const [name, commands] of Object.entries(damages)) {
  test(`healed by its notification: ${name}`, () => {
    const subject = node();
    subject.reconciler.setDesired(desiredFor([1, 2]));
    subject.settle();
    const whole = picture(subject);
    for (const command of commands) subject.netns.run(...command);
    const report = subject.settle();
    expect({ problems: report.problems, waiting: report.waiting }).toEqual({ problems: [], waiting: 0 });
    expect(picture(subject)).toEqual(whole);
    expect(subject.settle().writes).toEqual({});
  });
}
