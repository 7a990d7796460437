import { addressOf, familiesOf } from "../backend/peers.ts";
import { contains, prefixFamily } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";
import type { ClusterNetwork, Lease, VxlanConfig } from "../model/network.ts";
import { rangeOf, rangesOf } from "../model/ranges.ts";

/**
 * Why the cluster cannot go from one configuration to another without losing packets; empty: it can. Asked before
 * anything is changed, so that a change is made whole or not at all.
 */
export function refusals(from: ClusterNetwork, to: ClusterNetwork, leases: readonly Lease[]): readonly Problem[] {
  const nodes = [...leases].sort((a, b) => (a.node < b.node ? -1 : 1));
  return [...strangers(nodes), ...unreachable(to, nodes), ...sameTunnel(from, to), ...stranded(from, to, nodes)];
}

/** flanneld follows its own configuration, whenever it is restarted, and asks nobody. */
function strangers(nodes: readonly Lease[]): readonly Problem[] {
  return nodes
    .filter((lease) => !takesPart(lease))
    .map(({ node, backendType }) => ({
      severity: "error",
      reason: "ForeignNode",
      subject: node,
      message: `node ${node} runs flanneld (backend ${backendType}), which cannot take part in a change without loss`,
      remedy: `put Twill on ${node} first; or, if the machine is gone, delete its lease: twill delete node ${node}`,
    }));
}

/**
 * Pods may have addresses of a subnet as long as its node has it; only a retired range is empty some day. Who switches a
 * whole family off means it.
 */
function stranded(from: ClusterNetwork, to: ClusterNetwork, nodes: readonly Lease[]): readonly Problem[] {
  return nodes.flatMap(({ node, subnets }) =>
    subnets
      .filter((subnet) => rangesOf(to, prefixFamily(subnet)).length > 0)
      .filter((subnet) => rangeOf(from, subnet) !== undefined && rangeOf(to, subnet) === undefined)
      .map((subnet): Problem => {
        const range = rangeOf(from, subnet)?.network;
        return {
          severity: "error",
          reason: "RangeInUse",
          subject: node,
          message: `node ${node} has ${subnet}, and no range of the new configuration holds it`,
          remedy: `keep ${range} in MoreNetworks with "Retired": true until no node has a subnet of it: new pods get addresses of the other ranges`,
        };
      }),
  );
}

/** A Twill says which machine it is; flanneld does not. */
export const takesPart = (lease: Lease): boolean => lease.id !== undefined || lease.standing !== undefined;

/** host-gw leads packets to a node without a router between, so all nodes must be on one link. */
function unreachable(to: ClusterNetwork, nodes: readonly Lease[]): readonly Problem[] {
  if (to.backend.type !== "host-gw") return [];
  const problems: Problem[] = [];
  for (const family of familiesOf(to)) {
    const [first, ...rest] = nodes.filter((lease) => addressOf(lease, family) !== undefined);
    if (first === undefined) continue;
    for (const lease of rest) {
      if (onOneLink(first, lease, family) && onOneLink(lease, first, family)) continue;
      const [here, there] = [addressOf(first, family), addressOf(lease, family)];
      problems.push({
        severity: "error",
        reason: "OtherLink",
        subject: lease.node,
        message: `nodes ${first.node} (${here}) and ${lease.node} (${there}) are not on one link, and host-gw reaches nobody through a router`,
        remedy: 'use {"Type": "vxlan", "DirectRouting": true}: direct on each link, a tunnel between them',
      });
    }
  }
  return problems;
}

/** A node that does not say what it is attached to counts as on the link: the other's view decides. */
function onOneLink(lease: Lease, other: Lease, family: 4 | 6): boolean {
  const networks = (lease.underlays ?? []).filter((network) => prefixFamily(network) === family);
  const address = addressOf(other, family);
  return networks.length === 0 || address === undefined || networks.some((network) => contains(network, address));
}

/**
 * What a VXLAN device receives by cannot change in place (vxlan_changelink, drivers/net/vxlan/vxlan_core.c), so a second
 * device must stand beside the old one; and the kernel refuses two of one VNI and port (vxlan_config_validate), and two
 * with different extensions on one port (vxlan_sock_add: EADDRINUSE).
 */
function sameTunnel(from: ClusterNetwork, to: ClusterNetwork): readonly Problem[] {
  if (from.backend.type !== "vxlan" || to.backend.type !== "vxlan") return [];
  const changed = blocked(from.backend, to.backend);
  if (changed === undefined) return [];
  return [
    {
      severity: "error",
      reason: "SameTunnel",
      subject: `Backend.${changed.option}`,
      message: `${changed.option} cannot change while ${changed.shared} is the same: two tunnels must stand beside each other meanwhile`,
      remedy: `change ${changed.shared.includes("VNI") ? "Backend.Port or Backend.VNI" : "Backend.Port"} as well`,
    },
  ];
}

function blocked(from: VxlanConfig, to: VxlanConfig): { readonly option: string; readonly shared: string } | undefined {
  if (from.port !== to.port) return undefined;
  if (from.gbp !== to.gbp) return { option: "GBP", shared: "the port" };
  if (from.vni === to.vni && from.learning !== to.learning) return { option: "Learning", shared: "VNI and port" };
  return undefined;
}
