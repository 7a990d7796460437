import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";

/** IFLA_IFALIAS of every device that Twill makes: how its own devices are found again after a restart. */
export const TWILL_ALIAS = "twill";

/** Kinds of link that Twill makes or must recognise; any other kind is kept as `other` with its kernel name. */
export type LinkKind =
  | { readonly type: "veth"; readonly peer?: string }
  | VxlanKind
  | BridgeKind
  | MacvlanKind
  | { readonly type: "physical" } // no IFLA_INFO_KIND: hardware, loopback
  | { readonly type: "other"; readonly name: string };

export interface VxlanKind {
  readonly type: "vxlan";
  /** 24 bits. */
  readonly vni: number;
  /** UDP destination port, host order. */
  readonly port: number;
  /** Source address of the outer packets. */
  readonly local?: Address;
  /** Interface index of the underlay device (IFLA_VXLAN_LINK). */
  readonly underlay?: number;
  readonly learning: boolean;
  /** Group Based Policy extension (IFLA_VXLAN_GBP). */
  readonly gbp: boolean;
  /** UDP checksums of the outer packet over IPv4 (IFLA_VXLAN_UDP_CSUM). */
  readonly udpChecksum?: boolean;
  /** Over IPv6 the kernel sends and wants outer checksums unless these are set. */
  readonly udpZeroChecksum6Tx?: boolean;
  readonly udpZeroChecksum6Rx?: boolean;
}

export interface BridgeKind {
  readonly type: "bridge";
  /** IFLA_BR_AGEING_TIME and others are left at the kernel's defaults. */
  readonly vlanFiltering?: boolean;
}

export type MacvlanMode = "private" | "vepa" | "bridge" | "passthru";
export interface MacvlanKind {
  readonly type: "macvlan";
  readonly mode: MacvlanMode;
}

/** A link as the kernel reports it (RTM_NEWLINK). */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly kind: LinkKind;
  /** Absent on devices without an Ethernet address (tun, ipip). */
  readonly mac?: Mac;
  readonly mtu: number;
  /** IFF_UP: the administrator wants it up. */
  readonly up: boolean;
  /** IFF_LOWER_UP: there is a carrier. */
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** Index of the bridge or bond that it is a port of. */
  readonly master?: number;
  /** IFLA_LINK: the veth's peer or the lower device, an index in `linkNetns` when that is given. */
  readonly lower?: number;
  /** IFLA_LINK_NETNSID of the lower device or peer. */
  readonly linkNetns?: number;
  readonly alias?: string;
  readonly statistics?: LinkStatistics;
  /** Bridge port attributes, when `master` is a bridge. */
  readonly hairpin?: boolean;
}

/** struct rtnl_link_stats64, the part that we use. */
export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

/** A link as we want it. Created at once with all of this; changed in place where the kernel allows it. */
export interface LinkSpec {
  readonly name: string;
  readonly kind: LinkKind;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly up?: boolean;
  readonly master?: number;
  readonly lower?: number;
  /** IFLA_IFALIAS: how we recognise our own devices: "twill". */
  readonly alias?: string;
  /** Create in this network namespace (open file descriptor) instead of the socket's. */
  readonly netns?: number;
  /** veth only: the other end. */
  readonly peer?: Omit<LinkSpec, "kind" | "peer" | "lower">;
}
