import type { Address, Family } from "../src/base/address.ts";
import { TwillError } from "../src/base/errors.ts";
import { type Mac, macFromBytes } from "../src/base/mac.ts";
import { addressAt, type InterfaceAddress, lengthOf, overlaps, type Prefix, parsePrefix } from "../src/base/prefix.ts";

/** What the lab's network looks like: a plain value, computed from a few numbers, the same for the same numbers. */
export interface Topology {
  readonly families: readonly Family[];
  /** Of the underlay, bytes. */
  readonly mtu: number;
  readonly subnets: readonly UnderlaySubnet[];
  readonly outside: Host;
}

/** One Ethernet segment: a bridge in the router's namespace, which holds the gateway's addresses. */
export interface UnderlaySubnet {
  /** Of the segment and its bridge: lan1, lan2… */
  readonly name: string;
  readonly number: number;
  readonly prefixes: readonly Prefix[];
  readonly gateway: Host;
}

export interface Host {
  readonly addresses: readonly InterfaceAddress[];
  /** The router's addresses on that link; the default routes point there. Empty for the router itself. */
  readonly gateways: readonly Address[];
  readonly mac: Mac;
}

export interface NodePlan extends Host {
  readonly name: string;
  /** 1, 2…; the last byte of its addresses is 10 more. */
  readonly number: number;
  readonly subnet: UnderlaySubnet;
}

export interface TopologyOptions {
  readonly subnets: number;
  readonly mtu: number;
  readonly families: readonly Family[];
  /** Networks that the pods use; the underlay keeps out of them. */
  readonly avoid: readonly Prefix[];
}

export const maximumNodes = 200;
export const maximumSubnets = 200;

/** Ranges nobody routes (RFC 1918, 4193, 6598, 2544), tried in order: /16 for IPv4, /48 for IPv6, one subnet cut out for each LAN. */
const underlayRanges: Readonly<Record<Family, readonly string[]>> = {
  4: ["192.168.0.0/16", "172.30.0.0/16", "10.99.0.0/16", "100.99.0.0/16", "198.18.0.0/16"],
  6: ["fd00:1ab::/48", "fd01:1ab::/48"],
};
/** Documentation ranges (RFC 5737, 3849) stand for the Internet. */
const outsideRanges: Readonly<Record<Family, readonly string[]>> = {
  4: ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"],
  6: ["2001:db8:113::/64", "2001:db8:51::/64"],
};

/** @throws TwillError `invalid` when the numbers are out of range or the pods' networks leave no room for an underlay. */
export function planTopology(options: TopologyOptions): Topology {
  within("--subnets", options.subnets, 1, maximumSubnets);
  within("--mtu", options.mtu, options.families.includes(6) ? 1350 : 650, 65535);
  const range = (ranges: typeof underlayRanges, family: Family) => freeRange(ranges[family], options.avoid, family);
  const underlay = options.families.map((family) => range(underlayRanges, family));
  const beyond = options.families.map((family) => range(outsideRanges, family));
  return {
    families: options.families,
    mtu: options.mtu,
    subnets: Array.from({ length: options.subnets }, (_, index) => {
      const number = index + 1;
      const prefixes = underlay.map((whole) => lan(whole, number));
      return { name: `lan${number}`, number, prefixes, gateway: host(prefixes, 1, mac("router", number), []) };
    }),
    outside: host(beyond, 10, mac("outside", 1), gatewaysOf(beyond)),
  };
}

/** @param number 1 to maximumNodes, not in use by another node. */
export function planNode(topology: Topology, name: string, number: number, subnetNumber: number): NodePlan {
  const subnet = topology.subnets.find((candidate) => candidate.number === subnetNumber);
  if (subnet === undefined)
    throw new TwillError("invalid", `there is no subnet ${subnetNumber}`, {
      remedy: `use 1 to ${topology.subnets.length}`,
    });
  within("the number of nodes", number, 1, maximumNodes);
  checkNodeName(name);
  const { prefixes } = subnet;
  return { name, number, subnet, ...host(prefixes, 10 + number, mac("node", number), gatewaysOf(prefixes)) };
}

/** The machine of a Kubernetes control plane, on the first subnet: .10, before all nodes. */
export function planControl(topology: Topology): NodePlan {
  const [subnet] = topology.subnets;
  if (subnet === undefined) throw new RangeError("a topology has a subnet");
  const { prefixes } = subnet;
  return { name: "control", number: 0, subnet, ...host(prefixes, 10, mac("node", 0), gatewaysOf(prefixes)) };
}

/** Nodes are spread in blocks: of four over two subnets, the first two share one. Subnet numbers, one a node. */
export function spread(nodes: number, subnets: number): number[] {
  within("--nodes", nodes, 1, maximumNodes);
  if (subnets > nodes)
    throw new TwillError("invalid", `${subnets} subnets for ${nodes} nodes leave some without a node`, {
      remedy: `use --subnets ${nodes} or fewer, or --nodes ${subnets}`,
    });
  return Array.from({ length: nodes }, (_, index) => Math.floor((index * subnets) / nodes) + 1);
}

/** The name becomes a device name in the router (15 bytes), a host name and a directory. @throws TwillError `invalid`. */
export function checkNodeName(name: string): void {
  if (!/^[a-z]([a-z0-9-]{0,11}[a-z0-9])?$/.test(name) || /^(lan\d+|outside|router|control|lo)$/.test(name))
    throw new TwillError("invalid", `"${name}" cannot be a node's name in the lab`, {
      remedy:
        "use at most 13 lower-case letters, digits and hyphens, letter first, and none of lanN, outside, router, control",
    });
}

/** @throws TwillError `invalid`. */
export function checkPodName(name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name))
    throw new TwillError("invalid", `"${name}" cannot be a pod's name in the lab`, {
      remedy: "use at most 40 lower-case letters, digits and hyphens (RFC 1123)",
    });
}

/** Locally administered, and the same in every lab with the same numbers, so that captures can be compared. */
export function mac(kind: "node" | "router" | "port" | "outside", number: number): Mac {
  const kinds = { node: 1, router: 2, port: 3, outside: 4 } as const;
  return macFromBytes(Uint8Array.of(0x02, 0x1a, 0xb0, kinds[kind], number >> 8, number & 0xff));
}

function lan(whole: Prefix, number: number): Prefix {
  // Numbers are put into the text as decimal digits: 192.168.7.0/24 and fd00:1ab:0:7::/64 are one subnet.
  return lengthOf(whole) === 16
    ? parsePrefix(`${whole.split(".").slice(0, 2).join(".")}.${number}.0/24`)
    : parsePrefix(`${whole.split("::")[0]}:0:${number}::/64`);
}

function host(prefixes: readonly Prefix[], number: number, address: Mac, gateways: readonly Address[]): Host {
  return {
    addresses: prefixes.map((prefix) => ({ address: hostAddress(prefix, number), length: lengthOf(prefix) })),
    gateways,
    mac: address,
  };
}

const gatewaysOf = (prefixes: readonly Prefix[]): Address[] => prefixes.map((prefix) => hostAddress(prefix, 1));

/** In IPv6 the digits are kept, not the value: host 11 is ::11, so that both addresses of a node read alike. */
function hostAddress(prefix: Prefix, number: number): Address {
  const offset = prefix.includes(":") ? Number.parseInt(String(number), 16) : number;
  return addressAt(prefix, BigInt(offset));
}

function freeRange(candidates: readonly string[], avoid: readonly Prefix[], family: Family): Prefix {
  const free = candidates.map(parsePrefix).find((range) => !avoid.some((used) => overlaps(range, used)));
  if (free !== undefined) return free;
  throw new TwillError("invalid", `the pod networks ${avoid.join(", ")} leave no room for the lab's own IPv${family}`, {
    remedy: `leave one of ${candidates.join(", ")} out of them`,
  });
}

function within(what: string, value: number, minimum: number, maximum: number): void {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return;
  throw new TwillError("invalid", `${what} is ${value}`, { remedy: `use ${minimum} to ${maximum}` });
}
