import type { LinkChange } from "../kernel/rtnl.ts";
import type { DesiredLink } from "../objects/desired.ts";
import { type Link, type LinkSpec, TWILL_ALIAS } from "../objects/link.ts";

/** A tunnel device that Twill made or took over. Pods' devices carry the alias too, but are no tunnels. */
export const isOurTunnel = (link: Link): boolean => link.alias === TWILL_ALIAS && link.kind.type === "vxlan";

/** All at once: an Ethernet address given at creation is NET_ADDR_SET to the kernel, which udev and systemd leave alone. */
export function tunnelSpec(desired: DesiredLink, underlay: number): LinkSpec {
  const { vni, port, local, learning, gbp, outerChecksum } = desired.kind;
  const checksum = local.includes(":") ? {} : { udpChecksum: outerChecksum };
  return {
    name: desired.name,
    kind: { type: "vxlan", vni, port, local, underlay, learning, gbp, ...checksum },
    mac: desired.mac,
    mtu: desired.mtu,
    up: true,
    alias: TWILL_ALIAS,
  };
}

/**
 * The first attribute in which the link is another tunnel than the desired one, for people. Of these the kernel changes
 * some in place and others never (VNI, port, GBP, checksums: vxlan_changelink); all of them mean that peers must follow,
 * so the device is made anew for each.
 */
export function tunnelDifference(desired: DesiredLink, underlay: number, link: Link): string | undefined {
  const { kind } = link;
  if (kind.type !== "vxlan") return `it is a ${kind.type} device`;
  const { vni, port, local, learning, gbp, outerChecksum } = desired.kind;
  if (kind.vni !== vni) return `its VNI is ${kind.vni}, not ${vni}`;
  if (kind.port !== port) return `its port is ${kind.port}, not ${port}`;
  if (kind.local !== local) return `its local address is ${kind.local ?? "none"}, not ${local}`;
  if (kind.underlay !== underlay) return `it is bound to another underlay device than ${desired.kind.underlay}`;
  if (kind.learning !== learning) return `learning is ${kind.learning ? "on" : "off"}`;
  if (kind.gbp !== gbp) return `GBP is ${kind.gbp ? "on" : "off"}`;
  if (local.includes(":")) {
    return kind.udpZeroChecksum6Tx === true || kind.udpZeroChecksum6Rx === true ? "its checksums are zero" : undefined;
  }
  const checksum = kind.udpChecksum ?? outerChecksum;
  return checksum === outerChecksum ? undefined : `UDP checksums are ${checksum ? "on" : "off"}`;
}

/**
 * What to change in place, most important first, none when the link is as desired. One message each: the kernel refuses
 * a message whole, and an MTU that the underlay does not carry at the moment must not cost the alias.
 */
export function tunnelChanges(desired: DesiredLink, link: Link): readonly LinkChange[] {
  return [
    // A foreign device that is adopted has none; nor has ours when we died before it was given one.
    ...(link.alias === TWILL_ALIAS ? [] : [{ alias: TWILL_ALIAS }]),
    ...(link.mac === desired.mac ? [] : [{ mac: desired.mac }]),
    ...(link.up ? [] : [{ up: true }]),
    ...(link.mtu === desired.mtu ? [] : [{ mtu: desired.mtu }]),
  ];
}

export function sameDesiredLink(a: DesiredLink, b: DesiredLink): boolean {
  return (
    a.mac === b.mac &&
    a.mtu === b.mtu &&
    a.txChecksumOffload === b.txChecksumOffload &&
    a.kind.vni === b.kind.vni &&
    a.kind.port === b.kind.port &&
    a.kind.local === b.kind.local &&
    a.kind.underlay === b.kind.underlay &&
    a.kind.learning === b.kind.learning &&
    a.kind.gbp === b.kind.gbp &&
    a.kind.outerChecksum === b.kind.outerChecksum
  );
}
