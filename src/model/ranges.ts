import type { Family } from "../base/address.ts";
import type { ClusterNetwork, NetworkRange } from "./network.ts";

/** The network's ranges with their families, IPv4 first. */
export function rangeList(network: ClusterNetwork): readonly (readonly [Family, NetworkRange])[] {
  const ranges: (readonly [Family, NetworkRange])[] = [];
  if (network.ipv4 !== undefined) ranges.push([4, network.ipv4]);
  if (network.ipv6 !== undefined) ranges.push([6, network.ipv6]);
  return ranges;
}
