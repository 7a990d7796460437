import { type Family, widthOf } from "../../base/address.ts";
import { baseOf, prefixOf } from "../../base/prefix.ts";
import type { Problem } from "../../base/problem.ts";
import type { VxlanConfig } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import type { TunnelDevice } from "../../model/node-state.ts";
import { ownAddress, subnetsOf } from "../peers.ts";

/** Outer Ethernet 14 + IP 20 or 40 + UDP 8 + VXLAN 8 bytes (RFC 7348 section 5). */
const overhead = (family: Family): number => (family === 4 ? 50 : 70);

/** Longest interface name: IFNAMSIZ − 1 (linux/if.h). */
const longestName = 15;

/**
 * "flannel.1" and "flannel-v6.1", as Flannel's users know them. Flannel's pattern outgrows the kernel's 15 characters
 * for VNI ≥ 10,000,000 (IPv6: ≥ 10,000); those get a shorter one. With a variant: "flannel.1b".
 */
export function deviceName({ vni, variant = "" }: Pick<VxlanConfig, "vni" | "variant">, family: Family): string {
  const familiar = `${family === 4 ? "flannel" : "flannel-v6"}.${vni}${variant}`;
  return familiar.length <= longestName ? familiar : `fl${family}.${vni}${variant}`;
}

/** MTU of the tunnel of one family, bytes: what the underlay carries, less the overhead. */
export function tunnelMtu(config: VxlanConfig, local: LocalNode, family: Family): number {
  // The kernel refuses a VXLAN device larger than its underlay allows (vxlan_change_mtu), so a larger wish is cut.
  return Math.min(config.mtu ?? local.underlay.mtu, local.underlay.mtu) - overhead(family);
}

export function mtuProblems(config: VxlanConfig, local: LocalNode): readonly Problem[] {
  if (config.mtu === undefined || config.mtu <= local.underlay.mtu) return [];
  return [
    {
      severity: "warning",
      subject: local.name,
      message: `Backend.MTU is ${config.mtu}, but ${local.underlay.device} carries ${local.underlay.mtu} bytes; ${local.underlay.mtu} is used`,
      remedy: `raise the MTU of ${local.underlay.device}, or lower or remove Backend.MTU`,
    },
  ];
}

/**
 * NICs whose offload corrupts what it finds inside a tunnel. vmxnet3 parses VXLAN only on the ports that its host
 * expects and drops or corrupts the rest (flannel-io/flannel#1279, #2152). Everywhere else offload stays on: without it
 * the tunnel loses segmentation offload and most of its throughput, and the kernel's own bug (NAT of a zero checksum)
 * is fixed since 5.7 and in the stable kernels of May 2020.
 */
const corruptingDrivers: ReadonlySet<string> = new Set(["vmxnet3"]);

export function txChecksumOffload(local: LocalNode): boolean {
  return local.txChecksumOffload ?? !corruptingDrivers.has(local.underlay.driver ?? "");
}

/** The tunnel device of one family, or why there is none. */
export function vxlanDevice(config: VxlanConfig, local: LocalNode, family: Family): TunnelDevice | Problem {
  const name = deviceName(config, family);
  const source = ownAddress(local, family);
  const mac = local.macs[name];
  const mtu = tunnelMtu(config, local, family);
  if (source === undefined || mac === undefined) {
    return {
      severity: "error",
      subject: local.name,
      message: `the tunnel ${name} has no ${source === undefined ? `IPv${family} address to send from` : "Ethernet address"}`,
      remedy: `add an IPv${family} address to ${local.underlay.device}, or restart the agent`,
    };
  }
  // RFC 8200 section 5, RFC 791 section 3.2. Below 1280 the kernel switches IPv6 off on the device.
  const smallest = family === 6 ? 1280 : 68;
  if (mtu < smallest) {
    return {
      severity: "error",
      subject: local.name,
      message: `${local.underlay.device} leaves ${mtu} bytes inside the tunnel ${name}; IPv${family} needs ${smallest}`,
      remedy: `raise the MTU of ${local.underlay.device} to at least ${smallest + overhead(family)}`,
    };
  }
  return {
    name,
    kind: {
      type: "vxlan",
      vni: config.vni,
      port: config.port,
      local: source,
      underlay: local.underlay.device,
      learning: config.learning,
      gbp: config.gbp,
      // Over IPv4 the outer checksum should be zero (RFC 7348 section 5), and flanneld sends it so; what is inside has its own.
      outerChecksum: family === 6,
    },
    mac,
    mtu,
    // Host length: no route to the whole subnet, no broadcast address. It is the source of the node's own packets to pods.
    addresses: subnetsOf(local, family).map((subnet) => prefixOf(baseOf(subnet), widthOf(family))),
    txChecksumOffload: txChecksumOffload(local),
  };
}
