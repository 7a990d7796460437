import { type Address, type Family, familyOf } from "../base/address.ts";
import { contains, type Prefix, prefixFamily } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";
import type { ClusterNetwork, Lease } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";

export function familiesOf(network: ClusterNetwork): readonly Family[] {
  const families: Family[] = [];
  if (network.ipv4 !== undefined) families.push(4);
  if (network.ipv6 !== undefined) families.push(6);
  return families;
}

export const ownAddress = (local: LocalNode, family: Family): Address | undefined =>
  family === 4 ? local.underlay.ipv4 : local.underlay.ipv6;

export const addressOf = (lease: Lease, family: Family): Address | undefined =>
  lease.addresses.find((address) => familyOf(address) === family);

export const subnetsOf = (holder: { readonly subnets: readonly Prefix[] }, family: Family): readonly Prefix[] =>
  holder.subnets.filter((subnet) => prefixFamily(subnet) === family);

/**
 * Whether a packet reaches the peer's underlay address without a router. Both ends must see it so, where the peer told
 * its networks: with unequal masks one end would go direct and the other not. A real flanneld does not tell.
 */
export function sharesLink(local: LocalNode, lease: Lease, address: Address): boolean {
  if (!local.underlay.attached.some((network) => contains(network, address))) return false;
  const family = familyOf(address);
  const told = (lease.underlays ?? []).filter((network) => prefixFamily(network) === family);
  const own = ownAddress(local, family);
  return told.length === 0 || own === undefined || told.some((network) => contains(network, own));
}

/** The peer has subnets of a family but no underlay address of that family to send them to. */
export function noAddress(lease: Lease, family: Family): Problem {
  return {
    severity: "error",
    subject: lease.node,
    message: `node ${lease.node} has the IPv${family} subnet ${subnetsOf(lease, family).join(", ")} but no IPv${family} address to reach it by`,
    remedy: `give the node an IPv${family} address on its underlay interface, or set its public address`,
  };
}

/** This node itself lacks the address. Nothing of that family can work, so it is one problem, not one a peer. */
export function noOwnAddress(local: LocalNode, family: Family): Problem {
  return {
    severity: "error",
    subject: local.name,
    message: `the underlay interface ${local.underlay.device} has no IPv${family} address, so no IPv${family} pod traffic can leave this node`,
    remedy: `add an IPv${family} address to ${local.underlay.device}, choose another interface, or switch IPv${family} off in net-conf.json`,
  };
}
