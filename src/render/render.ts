import { baseOf, lengthOf, prefixFamily } from "../base/prefix.ts";
import type { NodeState } from "../model/node-state.ts";
import {
  addressKey,
  type DesiredKernel,
  defaultMetric,
  fdbKey,
  neighbourKey,
  routeKey,
  sysctlKey,
} from "../objects/desired.ts";

/**
 * NodeState → the kernel objects that rtnetlink and sysctl hold (nftables: nft.ts). Pure. An entry whose key comes twice
 * is kept as it came first: compile has reported the second.
 */
export function render(state: NodeState): DesiredKernel {
  return {
    links: keyed(
      state.tunnels,
      ({ name }) => name,
      ({ addresses: _, ...link }) => link,
    ),
    addresses: keyed(
      state.tunnels.flatMap((tunnel) =>
        tunnel.addresses.map((prefix) => ({ device: tunnel.name, address: baseOf(prefix), length: lengthOf(prefix) })),
      ),
      addressKey,
      (address) => address,
    ),
    neighbours: keyed(state.neighbours, neighbourKey, ({ peer: _, ...neighbour }) => neighbour),
    fdb: keyed(state.forwarding, fdbKey, ({ peer: _, ...entry }) => entry),
    routes: keyed(
      state.routes.map(({ peer: _, ...route }) => ({
        ...route,
        metric: defaultMetric(prefixFamily(route.destination)),
      })),
      routeKey,
      (route) => route,
    ),
    sysctls: keyed(state.sysctls, sysctlKey, (setting) => setting),
  };
}

function keyed<T, U>(items: readonly T[], key: (item: T) => string, value: (item: T) => U): ReadonlyMap<string, U> {
  const map = new Map<string, U>();
  for (const item of items) {
    const of = key(item);
    if (!map.has(of)) map.set(of, value(item));
  }
  return map;
}
