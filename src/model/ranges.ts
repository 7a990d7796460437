import type { Family } from "../base/address.ts";
import { covers, type Prefix, prefixFamily } from "../base/prefix.ts";
import type { ClusterNetwork, NetworkRange } from "./network.ts";

/** The network's ranges with their families, IPv4 first: the one of each family from which subnets are claimed first. */
export function rangeList(network: ClusterNetwork): readonly (readonly [Family, NetworkRange])[] {
  const ranges: (readonly [Family, NetworkRange])[] = [];
  if (network.ipv4 !== undefined) ranges.push([4, network.ipv4]);
  if (network.ipv6 !== undefined) ranges.push([6, network.ipv6]);
  return ranges;
}

/** All ranges of the family, further and retired ones too: whose addresses are the cluster's. */
export function rangesOf(network: ClusterNetwork, family: Family): readonly NetworkRange[] {
  const first = family === 4 ? network.ipv4 : network.ipv6;
  return first === undefined ? [] : [first, ...furtherOf(network, family)];
}

/** Those from which nodes may claim, in the order in which they are used up. */
export function openRanges(network: ClusterNetwork, family: Family): readonly NetworkRange[] {
  const first = family === 4 ? network.ipv4 : network.ipv6;
  return first === undefined ? [] : [first, ...furtherOf(network, family).filter(({ retired }) => !retired)];
}

const furtherOf = ({ further = [] }: ClusterNetwork, family: Family) =>
  further.filter((range) => prefixFamily(range.network) === family);

/** Every network whose addresses are the cluster's, IPv4 first. */
export const allNetworks = (network: ClusterNetwork): readonly Prefix[] =>
  ([4, 6] as const).flatMap((family) => rangesOf(network, family).map((range) => range.network));

/** The range that holds the subnet; undefined: it is outside the cluster's network. */
export const rangeOf = (network: ClusterNetwork, subnet: Prefix): NetworkRange | undefined =>
  rangesOf(network, prefixFamily(subnet)).find((range) => covers(range.network, subnet));
