import { backendOf } from "../backend/registry.ts";
import { prefixFamily } from "../base/prefix.ts";
import type { ClusterNetwork, Lease, NetworkRange } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import type { Masquerade, NodeState } from "../model/node-state.ts";
import { validatePeers } from "./claims.ts";
import { sysctlsFor } from "./sysctls.ts";

export interface CompileOptions {
  /** Whether traffic from pods to outside the cluster takes the node's address (flanneld's ip-masq). Default: true. */
  readonly masquerade?: boolean;
}

/**
 * What this node should be, from the cluster as it is now: a function of its arguments, never of what was before. The
 * order of the leases does not matter; the own lease may be among them. Never throws for what a peer says: a bad lease
 * becomes a problem that names its node, and the rest stands.
 */
export function compile(
  network: ClusterNetwork,
  local: LocalNode,
  leases: readonly Lease[],
  options: CompileOptions = {},
): NodeState {
  const valid = validatePeers(network, local, leases);
  const plan = backendOf(network.backend).plan(network.backend, network, local, valid.peers);
  return {
    node: local.name,
    tunnels: plan.tunnels,
    routes: plan.routes,
    neighbours: plan.neighbours,
    forwarding: plan.forwarding,
    ...(options.masquerade === false ? {} : { masquerade: masqueradeFor(network, local) }),
    podMtu: plan.podMtu,
    subnets: local.subnets,
    sysctls: sysctlsFor(network, local, plan.tunnels),
    ...(plan.commands === undefined ? {} : { commands: plan.commands }),
    problems: [...valid.problems, ...plan.problems],
  };
}

function masqueradeFor(network: ClusterNetwork, local: LocalNode): Masquerade {
  const ranges = [network.ipv4, network.ipv6].filter((range): range is NetworkRange => range !== undefined);
  const networks = ranges.map((range) => range.network);
  const families = networks.map(prefixFamily);
  return { networks, local: local.subnets.filter((subnet) => families.includes(prefixFamily(subnet))), families };
}
