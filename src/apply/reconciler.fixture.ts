import { onTestFinished, setDefaultTimeout } from "bun:test";
import { type TestNetns, testNetns, vethPair } from "../../test/support/netns.ts";
import { EventTap } from "../../test/support/rtnl-events.ts";
import { type Address, type Family, familyOf, parseAddress, widthOf } from "../base/address.ts";
import { FakeClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix, prefixOf } from "../base/prefix.ts";
import { errnoError } from "../kernel/errno.ts";
import { type Ethtool, openEthtool } from "../kernel/ethtool.ts";
import type { RtnlOperation } from "../kernel/rtnl.ts";
import { kernelSysctls } from "../kernel/sysctl.ts";
import {
  type DesiredKernel,
  type DesiredLink,
  type DesiredPeer,
  type DesiredRoute,
  type DesiredSysctl,
  defaultMetric,
} from "../objects/desired.ts";
import { type ApplyReport, Reconciler } from "./reconciler.ts";

/** Programs of the tests run on a machine that is busy with others. */
setDefaultTimeout(60_000);

const pair = (number: number): string => number.toString(16).padStart(2, "0");
export const macOf = (number: number) => parseMac(`0e:00:00:00:${pair(number >> 8)}:${pair(number & 255)}`);

export function tunnel(change: Partial<DesiredLink["kind"]> = {}, name = "flannel.1"): DesiredLink {
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

export const tunnel6 = (): DesiredLink => ({
  ...tunnel({ local: parseAddress("fd01::1"), outerChecksum: true }, "flannel-v6.1"),
  mtu: 1430,
});

/** A node with these peers behind its tunnels, and one peer by a direct route. */
export function desiredFor(
  peers: readonly number[],
  links: readonly DesiredLink[] = [tunnel(), tunnel6()],
): DesiredKernel {
  const settings: DesiredSysctl[] = [
    { name: ["ipv4", "ip_forward"], value: "1" },
    { name: ["ipv6", "conf", "all", "forwarding"], value: "1" },
    ...links.map(({ name }) => ({ name: ["ipv4", "conf", name, "rp_filter"], value: "2", device: name })),
  ];
  const addresses = links.map(({ name: device, kind }) => {
    const family = familyOf(kind.local);
    return { device, address: firstOf(0, family), length: widthOf(family) };
  });
  const parts = peers.map((peer) => [`peer-${peer}`, desiredPeer(peer, links)] as const);
  return { own: { links, addresses, sysctls: settings }, peers: new Map([...parts, ["direct", direct]]) };
}

const firstOf = (peer: number, family: Family): Address =>
  parseAddress(family === 4 ? `10.244.${peer}.0` : `fd00:0:0:${peer.toString(16)}::`);

/** What there is for one peer behind the tunnels. */
export function desiredPeer(peer: number, links: readonly DesiredLink[] = [tunnel(), tunnel6()]): DesiredPeer {
  const ends = links.map(({ name: device, kind }) => {
    const family = familyOf(kind.local);
    const remote = parseAddress(family === 4 ? `172.16.0.${peer}` : `fd02::${peer.toString(16)}`);
    return { device, family, remote, gateway: firstOf(peer, family) };
  });
  return {
    neighbours: ends.map(({ device, gateway }) => ({ device, address: gateway, mac: macOf(peer) })),
    fdb: ends.map(({ device, remote }) => ({ device, mac: macOf(peer), remote })),
    routes: ends.map(({ device, family, gateway }) => {
      const destination = prefixOf(gateway, family === 4 ? 24 : 64);
      return { destination, device, gateway, onlink: true, metric: defaultMetric(family) };
    }),
  };
}

const direct: DesiredPeer = {
  neighbours: [],
  fdb: [],
  routes: [
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
  ],
};

/** The same, with each peer's part changed. */
export const withPeers = (
  { own, peers }: DesiredKernel,
  change: (peer: DesiredPeer) => DesiredPeer,
): DesiredKernel => ({
  own,
  peers: new Map([...peers].map(([name, peer]) => [name, change(peer)])),
});

export const routesOf = ({ peers }: DesiredKernel): readonly DesiredRoute[] =>
  [...peers.values()].flatMap((peer) => peer.routes);

export interface Node {
  readonly netns: TestNetns;
  /** The other end of eth0. */
  readonly far: TestNetns;
  /** Every write asked of the kernel so far. */
  readonly written: RtnlOperation[];
  /** Makes writes fail, as a kernel short of memory would. Undefined: they reach the kernel. */
  refuse: ((operation: RtnlOperation) => number | undefined) | undefined;
  readonly clock: FakeClock;
  readonly ethtool: Ethtool;
  readonly tap: EventTap;
  readonly reconciler: Reconciler;
  /** Feeds all events, flushes. */
  settle(): ApplyReport;
  /**
   * Settles until a flush that no event preceded, and gives that one's report. For states that stay imperfect: each
   * notification is a reason to try again, and the kernel's own workers (linkwatch, addrconf) send theirs late.
   */
  settleWithoutNews(): ApplyReport;
}

/** A namespace with eth0 (192.168.0.1/24, fd01::1/64) on a wire, and a reconciler in it. */
export function node(): Node {
  const netns = testNetns();
  const far = testNetns();
  vethPair({ netns, name: "eth0" }, { netns: far, name: "eth0" });
  netns.run("ip", "address", "add", "192.168.0.1/24", "dev", "eth0");
  netns.run("ip", "address", "add", "fd01::1/64", "dev", "eth0", "nodad");
  return reconcilerIn(netns, far);
}

export function reconcilerIn(netns: TestNetns, far: TestNetns): Node {
  const clock = new FakeClock();
  const ethtool = openEthtool({ netns: netns.fd });
  onTestFinished(() => ethtool.close());
  const tap = new EventTap(netns.fd);
  const written: RtnlOperation[] = [];
  const apply = (operations: readonly RtnlOperation[]) =>
    operations.map((operation) => {
      written.push(operation);
      const errno = subject.refuse?.(operation);
      return errno === undefined ? netns.rtnl.apply([operation])[0] : errnoError(errno);
    });
  const reconciler = new Reconciler({
    rtnl: new Proxy(netns.rtnl, {
      get: (target, name) => {
        if (name === "apply") return apply;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    }),
    sysctl: kernelSysctls(netns.fd),
    offload: ethtool,
    clock,
    log: silentLog,
  });
  const settle = () => {
    for (const event of tap.take()) reconciler.onEvent(event);
    return reconciler.flush();
  };
  const settleWithoutNews = () => {
    for (let round = 0; round < 100; round++) {
      const events = tap.take();
      for (const event of events) reconciler.onEvent(event);
      const report = reconciler.flush();
      if (events.length === 0) return report;
    }
    throw new Error("the kernel's news never end: each flush makes more");
  };
  const subject: Node = {
    ...{ netns, far, ethtool, clock, tap, reconciler, written, refuse: undefined },
    ...{ settle, settleWithoutNews },
  };
  return subject;
}

/** What `ip` and `bridge` say of everything that is ours, in a form that compares. */
export function picture({ netns }: Pick<Node, "netns">): readonly string[] {
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
