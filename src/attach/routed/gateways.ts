import type { Address } from "../../base/address.ts";
import { familyOf } from "../../base/address.ts";
import type { InterfaceAddress, Prefix } from "../../base/prefix.ts";

/**
 * The next hops of every routed pod, the same on all nodes, so a pod's routes say nothing about where it runs. Nobody owns
 * 169.254.1.1 (RFC 3927): the pod holds a permanent neighbour entry for it, and neither ARP nor proxy_arp is needed.
 */
export const podGateway4 = "169.254.1.1" as Address;
/** On every host's end, for the node itself needs a link-local source to solicit its pods (RFC 4861 section 7.2.2). */
export const podGateway6 = "fe80::1" as Address;

export const podGateway4Prefix = "169.254.1.1/32" as Prefix;

/** The gateways for the families of these addresses. */
export function routedGateways(addresses: readonly InterfaceAddress[]): Address[] {
  const families = new Set(addresses.map(({ address }) => familyOf(address)));
  return [...(families.has(4) ? [podGateway4] : []), ...(families.has(6) ? [podGateway6] : [])];
}
