import type { Family } from "../base/address.ts";
import { overlaps, type Prefix, prefixFamily } from "../base/prefix.ts";

/** No pod can have an address of these (RFC 6890, RFC 4291). */
const unusable: readonly (readonly [Prefix, string])[] = (
  [
    ["127.0.0.0/8", "loopback"],
    ["224.0.0.0/4", "multicast"],
    ["0.0.0.0/8", '"this network"'],
    ["169.254.0.0/16", "link-local"],
    ["255.255.255.255/32", "broadcast"],
    ["::/128", "unspecified"],
    ["::1/128", "loopback"],
    ["::ffff:0:0/96", "IPv4-mapped"],
    ["fe80::/10", "link-local"],
    ["ff00::/8", "multicast"],
  ] as const
).map(([prefix, use]) => [prefix as Prefix, use]);
const unusableOf = (family: Family) => unusable.filter(([prefix]) => prefixFamily(prefix) === family);
const byFamily = { 4: unusableOf(4), 6: unusableOf(6) };

/** Why pods cannot have addresses of this network; undefined when they can. */
export function unusableFor(network: Prefix): string | undefined {
  const found = byFamily[prefixFamily(network)].find(([prefix]) => overlaps(prefix, network));
  return found === undefined ? undefined : `${found[0]} is for ${found[1]} addresses`;
}
