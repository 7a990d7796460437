import { AttributeReader } from "../netlink/attributes.ts";

/** struct netconfmsg (one byte, padded to 4), include/uapi/linux/netconf.h. */
const HEADER = 4;
const NETCONFA_IFINDEX = 1;

/**
 * Whose settings RTM_NEWNETCONF announces: the kernel tells changes of forwarding, rp_filter, proxy_arp and
 * ignore_routes_with_linkdown, and of no other sysctl. undefined: not one device's, but of `all` (−1) or `default` (−2).
 * @throws TwillError `corrupt`.
 */
export function decodeNetconf(payload: Uint8Array): number | undefined {
  const attributes = new AttributeReader(payload, HEADER);
  let index = -1;
  while (attributes.next()) if (attributes.type === NETCONFA_IFINDEX) index = attributes.i32();
  return index < 0 ? undefined : index;
}
