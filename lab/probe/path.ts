import type { Link } from "../../src/objects/link.ts";

/** Packets that a device sent or received, by name, with what kind of device it is. */
export type Counters = ReadonlyMap<string, { readonly kind: string; readonly packets: bigint }>;

export function countersOf(links: readonly Link[], direction: "sent" | "received"): Counters {
  return new Map(
    links.map((link) => {
      const { statistics } = link;
      const packets = (direction === "sent" ? statistics?.txPackets : statistics?.rxPackets) ?? 0n;
      return [link.name, { kind: link.kind.type === "other" ? link.kind.name : link.kind.type, packets }];
    }),
  );
}

/** Devices that carry packets inside others, by the kernel's kind, and what their path is called. */
const tunnels: ReadonlySet<string> = new Set(["vxlan", "ipip", "sit", "ip6tnl", "wireguard", "gre", "geneve", "tun"]);

/**
 * The way that a burst took through a node, from its devices' counters before and after: the kind of the tunnel that
 * carried it, "direct" over the underlay device without a tunnel, "local" when it never left. Nothing else is asked: not
 * the routes, not the configuration.
 * @param burst packets sent; fewer on a device are somebody else's.
 */
export function pathTaken(before: Counters, after: Counters, underlay: string, burst: number): string {
  const carried = [...after].filter(
    ([name, { packets }]) => packets - (before.get(name)?.packets ?? 0n) >= BigInt(burst),
  );
  const tunnel = carried.find(([, { kind }]) => tunnels.has(kind));
  if (tunnel !== undefined) return tunnel[1].kind;
  return carried.some(([name]) => name === underlay) ? "direct" : "local";
}
