import { describe, expect, test } from "bun:test";
import type { Family } from "../base/address.ts";
import { parseAddress } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix, prefixFamily } from "../base/prefix.ts";
import type { BackendConfig, ClusterNetwork, Lease } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import type { Backend, BackendPlan, PeerPlan } from "./backend.ts";

/** What the contract must know of a backend to try it. */
export interface BackendCase<C extends BackendConfig> {
  readonly backend: Backend<C>;
  readonly config: C;
  /** BackendData of the peer with this number (1 to 250), as a correct node would write it. */
  readonly data: (peer: number) => Lease["backendData"];
  /** A lease that this backend cannot serve, made from a good one. Absent where any lease will do. */
  readonly spoil?: (good: Lease) => Lease;
  /** Bytes it adds to a packet, by the family of the underlay. */
  readonly overhead: Readonly<Record<Family, number>>;
}

export const dualStack = (config: BackendConfig): ClusterNetwork => ({
  ipv4: {
    network: parsePrefix("10.244.0.0/16"),
    subnetLength: 24,
    subnetMin: parsePrefix("10.244.0.0/24"),
    subnetMax: parsePrefix("10.244.255.0/24"),
  },
  ipv6: {
    network: parsePrefix("fd00:10:244::/48"),
    subnetLength: 64,
    subnetMin: parsePrefix("fd00:10:244::/64"),
    subnetMax: parsePrefix("fd00:10:244:ffff::/64"),
  },
  backend: config,
  enableNFTables: false,
});

export function onlyFamily(network: ClusterNetwork, family: Family): ClusterNetwork {
  const { ipv4, ipv6, ...rest } = network;
  return family === 4 ? { ...rest, ...(ipv4 && { ipv4 }) } : { ...rest, ...(ipv6 && { ipv6 }) };
}

const pair = (number: number): string => number.toString(16).padStart(2, "0");
export const macOf = (number: number) => parseMac(`0e:00:00:00:00:${pair(number)}`);

/** The node that the plans are made for: number 0, on 192.168.0.0/24 and fd01::/64. */
export function localNode(macs: readonly string[]): LocalNode {
  return {
    name: "local",
    subnets: [parsePrefix("10.244.0.0/24"), parsePrefix("fd00:10:244::/64")],
    underlay: {
      device: "eth0",
      index: 2,
      mtu: 1500,
      ipv4: parseAddress("192.168.0.1"),
      ipv6: parseAddress("fd01::1"),
      attached: [parsePrefix("192.168.0.0/24"), parsePrefix("fd01::/64")],
    },
    macs: Object.fromEntries(macs.map((name, index) => [name, parseMac(`0e:ff:00:00:00:${pair(index)}`)])),
  };
}

/** A peer on the local node's link. */
export function lease(type: string, number: number, data: Lease["backendData"]): Lease {
  return {
    node: `node-${String(number).padStart(3, "0")}`,
    subnets: [parsePrefix(`10.244.${number}.0/24`), parsePrefix(`fd00:10:244:${number.toString(16)}::/64`)],
    addresses: [parseAddress(`192.168.0.${number + 1}`), parseAddress(`fd01::${(number + 1).toString(16)}`)],
    backendType: type,
    backendData: data,
  };
}

/** What every backend promises, whatever it does with the packets. */
export function backendContract<C extends BackendConfig>(name: string, subject: BackendCase<C>): void {
  const { backend, config } = subject;
  const network = dualStack(config);
  const local = localNode(backend.macsFor(config, network));
  const peers = Array.from({ length: 20 }, (_, index) => lease(backend.type, index + 1, subject.data(index + 1)));
  const plan = (of: ClusterNetwork = network, at: LocalNode = local): BackendPlan => backend.plan(config, of, at);
  const planPeer = (peer: Lease, of: ClusterNetwork = network): PeerPlan =>
    backend.peerPlanner(config, of, local)(peer);

  describe(`backend contract: ${name}`, () => {
    test("good peers on one link leave no problem", () => {
      expect([...plan().problems, ...peers.flatMap((peer) => planPeer(peer).problems)]).toEqual([]);
    });

    test("the same arguments give the same plan, whatever was planned before, and are not changed", () => {
      const before = JSON.stringify([config, network, local, peers]);
      const planner = backend.peerPlanner(config, network, local);
      expect(plan()).toEqual(plan());
      for (const peer of [...peers, ...peers.toReversed()]) expect(planner(peer)).toEqual(planPeer(peer));
      expect(JSON.stringify([config, network, local, peers])).toBe(before);
    });

    test("plans are plain values", () => {
      for (const value of [plan(), ...peers.map((peer) => planPeer(peer))]) {
        expect(JSON.parse(JSON.stringify(value))).toEqual(value);
      }
    });

    const { spoil } = subject;
    if (spoil !== undefined) {
      test("a peer that cannot be served is named with a remedy, and has nothing", () => {
        const { problems, ...rest } = planPeer(spoil({ ...lease(backend.type, 99, subject.data(99)), node: "spoilt" }));
        expect(rest).toEqual({ routes: [], neighbours: [], forwarding: [] });
        expect(problems.length).toBeGreaterThan(0);
        for (const problem of problems) {
          expect(problem.subject).toBe("spoilt");
          expect(problem.message).toContain("spoilt");
          expect(problem.remedy).not.toBe("");
        }
      });
    }

    test("a peer without subnets has no way to it", () => {
      const { routes, neighbours, forwarding } = planPeer({ ...lease(backend.type, 9, subject.data(9)), subnets: [] });
      expect([...routes, ...neighbours, ...forwarding]).toEqual([]);
    });

    for (const family of [4, 6] as const) {
      test(`IPv${family} alone: nothing of the other family`, () => {
        const alone = onlyFamily(network, family);
        const got = plan(alone);
        const ways = peers.map((peer) => planPeer(peer, alone));
        expect([...got.problems, ...ways.flatMap((way) => way.problems)]).toEqual([]);
        const routes = ways.flatMap((way) => way.routes);
        expect(routes.every((route) => prefixFamily(route.destination) === family)).toBe(true);
        expect(got.tunnels.flatMap((tunnel) => tunnel.addresses).every((a) => prefixFamily(a) === family)).toBe(true);
        expect(got.podMtu).toBe(1500 - subject.overhead[family]);
        expect(Object.keys(backend.advertise(config, alone, local).backendData)).not.toContain(String(10 - family));
      });
    }

    test("dual stack takes the smaller of the two MTUs, and follows the underlay", () => {
      const largest = Math.max(subject.overhead[4], subject.overhead[6]);
      expect(plan().podMtu).toBe(1500 - largest);
      const jumbo: LocalNode = { ...local, underlay: { ...local.underlay, mtu: 9000 } };
      expect(plan(network, jumbo).podMtu).toBe(9000 - largest);
    });

    test("what it advertises is what another node with the same configuration accepts", () => {
      const elsewhere: LocalNode = { ...local, name: "elsewhere", subnets: [parsePrefix("10.244.200.0/24")] };
      const macs = Object.fromEntries(Object.keys(local.macs).map((device) => [device, macOf(200)]));
      const said = backend.advertise(config, network, { ...elsewhere, macs });
      const wire: unknown = JSON.parse(JSON.stringify(said.backendData));
      const peer: Lease = {
        ...lease(said.backendType, 200, wire as Lease["backendData"]),
        node: "elsewhere",
      };
      expect(planPeer(peer).problems).toEqual([]);
    });

    test("routes lead over a device that is planned or the underlay; every gateway in a tunnel has its neighbour and forwarding entry", () => {
      const tunnels = new Set(plan().tunnels.map((tunnel) => tunnel.name));
      for (const peer of peers) {
        const got = planPeer(peer);
        const neighbours = new Map(got.neighbours.map((entry) => [`${entry.device} ${entry.address}`, entry.mac]));
        const forwarding = new Set(got.forwarding.map((entry) => `${entry.device} ${entry.mac}`));
        for (const route of got.routes) {
          if (route.device === local.underlay.device) continue;
          expect(tunnels.has(route.device)).toBe(true);
          const mac = neighbours.get(`${route.device} ${route.gateway}`);
          expect(mac).toBeDefined();
          expect(forwarding.has(`${route.device} ${mac}`)).toBe(true);
        }
      }
    });
  });
}
