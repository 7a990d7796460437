import { backendOf } from "../backend/registry.ts";
import { prefixFamily } from "../base/prefix.ts";
import type { ClusterNetwork } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import type { Masquerade, OwnState } from "../model/node-state.ts";
import { allNetworks } from "../model/ranges.ts";
import { alsoReceiving } from "./also-receiving.ts";
import { sysctlsFor } from "./sysctls.ts";

/** All that a node's state follows from, but the leases. A plain value: two that print alike are the same. */
export interface CompileInput {
  /** By which the node sends. */
  readonly network: ClusterNetwork;
  /** By which it receives, too, while the cluster's configuration changes (docs/design/live-switch.md). */
  readonly receives?: readonly ClusterNetwork[];
  readonly local: LocalNode;
  /** Whether traffic from pods to outside the cluster takes the node's address (flanneld's ip-masq). Default: true. */
  readonly masquerade?: boolean;
}

/** The part that depends on no peer. */
export function ownState(input: CompileInput): OwnState {
  const { receives = [], ...sending } = input;
  if (receives.length === 0) return stateFor(sending);
  return alsoReceiving(
    stateFor(sending),
    receives.map((network) => stateFor({ ...sending, network })),
    input.local,
  );
}

function stateFor({ network, local, masquerade }: CompileInput): OwnState {
  const plan = backendOf(network.backend).plan(network.backend, network, local);
  return {
    node: local.name,
    tunnels: plan.tunnels,
    ...(masquerade === false ? {} : { masquerade: masqueradeFor(network, local) }),
    podMtu: plan.podMtu,
    subnets: local.subnets,
    sysctls: sysctlsFor(network, local, plan.tunnels),
    ...(plan.commands === undefined ? {} : { commands: plan.commands }),
    problems: plan.problems,
  };
}

function masqueradeFor(network: ClusterNetwork, local: LocalNode): Masquerade {
  const networks = allNetworks(network);
  const families = [...new Set(networks.map(prefixFamily))];
  return { networks, local: local.subnets.filter((subnet) => families.includes(prefixFamily(subnet))), families };
}
