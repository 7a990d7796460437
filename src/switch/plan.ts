import { backendOf } from "../backend/registry.ts";
import { type Address, familyOf } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { covers, type Prefix, prefixFamily } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";
import type { ClusterNetwork, Lease } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import { openRanges, rangeOf } from "../model/ranges.ts";
import { refusals } from "./refusals.ts";

/** What a change would do, before anything is done. */
export interface ChangePlan {
  /** By node name. A node without a line has nothing to do. */
  readonly nodes: readonly { readonly node: string; readonly changes: readonly string[] }[];
  /** Why it cannot be done. Then nothing of it is. */
  readonly refused: readonly Problem[];
}

/** The same functions that the agents work by, asked for every node. */
export function planChange(from: ClusterNetwork, to: ClusterNetwork, leases: readonly Lease[]): ChangePlan {
  const sorted = [...leases].sort((a, b) => (a.node < b.node ? -1 : 1));
  const nodes = sorted.map((lease) => ({
    node: lease.node,
    changes: [
      ...differences(shapeOf(from, lease, sorted), shapeOf(to, lease, sorted)),
      ...retirements(from, to, lease.subnets),
    ],
  }));
  return { nodes, refused: refusals(from, to, leases) };
}

/** A node by one configuration, as far as people care. */
interface Shape {
  readonly tunnels: readonly string[];
  readonly podMtu: number;
  /** By peer: "flannel.1" or "direct"; absent: it cannot be reached. */
  readonly ways: ReadonlyMap<string, string>;
}

function shapeOf(network: ClusterNetwork, lease: Lease, all: readonly Lease[]): Shape {
  const { backend } = network;
  const of = backendOf(backend);
  const local = localOf(network, lease);
  const { tunnels, podMtu } = of.plan(backend, network, local);
  const planPeer = of.peerPlanner(backend, network, local);
  const ways = new Map<string, string>();
  for (const peer of all) {
    if (peer.node === lease.node) continue;
    const advertised = { ...peer, ...of.advertise(backend, network, localOf(network, peer)) };
    const [route] = planPeer(advertised).routes;
    if (route !== undefined) ways.set(peer.node, route.device === local.underlay.device ? "direct" : "tunnel");
  }
  return { tunnels: tunnels.map(({ name, kind }) => `${name} (VNI ${kind.vni}, port ${kind.port})`), podMtu, ways };
}

/** Any address that is one: it decides nothing here. */
const someMac = parseMac("02:00:00:00:00:01");
const usualMtu = 1500;

/** The node as its lease tells of it. */
function localOf(network: ClusterNetwork, lease: Lease): LocalNode {
  const devices = backendOf(network.backend).macsFor(network.backend, network);
  const address = (family: 4 | 6): Address | undefined => lease.addresses.find((each) => familyOf(each) === family);
  const [ipv4, ipv6] = [address(4), address(6)];
  return {
    name: lease.node,
    subnets: lease.subnets,
    underlay: {
      device: "its interface",
      index: 1,
      mtu: lease.underlayMtu ?? usualMtu,
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      attached: lease.underlays ?? [],
    },
    macs: Object.fromEntries(devices.map((device) => [device, someMac])),
  };
}

/** Subnets that the node leaves, because their range is retired; of an assigned one (a Node's podCIDR) that is the cluster's to do. */
function retirements(from: ClusterNetwork, to: ClusterNetwork, subnets: readonly Prefix[]): readonly string[] {
  const isOpen = (network: ClusterNetwork, subnet: Prefix): boolean =>
    openRanges(network, prefixFamily(subnet)).some((range) => covers(range.network, subnet));
  return subnets
    .filter((subnet) => isOpen(from, subnet) && !isOpen(to, subnet) && rangeOf(to, subnet) !== undefined)
    .map((subnet) => `new pods get addresses of another subnet; ${subnet} is given back when its last pod is gone`);
}

function differences(before: Shape, after: Shape): readonly string[] {
  const made = after.tunnels.filter((tunnel) => !before.tunnels.includes(tunnel));
  const gone = before.tunnels.filter((tunnel) => !after.tunnels.includes(tunnel));
  const names = [...new Set([...before.ways.keys(), ...after.ways.keys()])].sort();
  const moved = Map.groupBy(
    names.filter((name) => before.ways.get(name) !== after.ways.get(name)),
    (name) => `${before.ways.get(name) ?? "not reached"} → ${after.ways.get(name) ?? "not reached"}`,
  );
  return [
    ...made.map((tunnel) => `tunnel ${tunnel} is made`),
    ...gone.map((tunnel) => `tunnel ${tunnel} goes`),
    ...[...moved].map(([way, peers]) => `${way}: ${shortened(peers)}`),
    ...(before.podMtu === after.podMtu ? [] : [`MTU of pods ${before.podMtu} → ${after.podMtu}`]),
  ];
}

const shown = 5;
const shortened = (names: readonly string[]): string =>
  names.length <= shown ? names.join(", ") : `${names.slice(0, shown).join(", ")} and ${names.length - shown} more`;
