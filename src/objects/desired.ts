import type { Address, Family } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import { type Prefix, prefixFamily } from "../base/prefix.ts";

/**
 * What the kernel of one node should hold, by content: devices by name, no kernel numbers. Made by render, brought about
 * by apply. In parts, as NodeState is: each is made and replaced alone. The keys at the end of this file are what the
 * kernel itself tells objects apart by, so one key is one object, whichever part names it.
 */
export interface DesiredKernel {
  readonly own: DesiredOwn;
  /** By node name. */
  readonly peers: ReadonlyMap<string, DesiredPeer>;
}

/**
 * How what is desired differs from before. With `own` it is all there is: peers that it does not name are gone. Without, it
 * names the peers that are other now, or gone (undefined).
 */
export interface DesiredChange {
  readonly own?: DesiredOwn;
  readonly peers: ReadonlyMap<string, DesiredPeer | undefined>;
}

/** The part that depends on no peer. */
export interface DesiredOwn {
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly DesiredAddress[];
  /** In writing order. */
  readonly sysctls: readonly DesiredSysctl[];
}

/** The way to one peer. */
export interface DesiredPeer {
  readonly neighbours: readonly DesiredNeighbour[];
  readonly fdb: readonly DesiredFdbEntry[];
  readonly routes: readonly DesiredRoute[];
}

/** A tunnel device: always up, always with the alias of Twill. */
export interface DesiredLink {
  readonly name: string;
  readonly kind: {
    readonly type: "vxlan";
    readonly vni: number;
    readonly port: number;
    readonly local: Address;
    /** Name of the underlay device. */
    readonly underlay: string;
    readonly learning: boolean;
    readonly gbp: boolean;
    readonly outerChecksum: boolean;
  };
  readonly mac: Mac;
  readonly mtu: number;
  readonly txChecksumOffload: boolean;
}

export interface DesiredAddress {
  readonly device: string;
  readonly address: Address;
  readonly length: number;
}

/** Permanent. */
export interface DesiredNeighbour {
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** Permanent, in the device's own table, with one remote. */
export interface DesiredFdbEntry {
  readonly device: string;
  readonly mac: Mac;
  readonly remote: Address;
}

/** A unicast route of protocol TWILL_ROUTE_PROTOCOL in the main table. */
export interface DesiredRoute {
  readonly destination: Prefix;
  readonly device: string;
  readonly gateway: Address;
  readonly onlink: boolean;
  /** Absent: the family's usual one (`defaultMetric`). */
  readonly metric?: number;
  readonly source?: Address;
}

export interface DesiredSysctl {
  /** Path below /proc/sys/net, in parts: ["ipv4", "conf", "flannel.1", "rp_filter"]. */
  readonly name: readonly string[];
  readonly value: string;
  readonly device?: string;
  readonly optional?: boolean;
}

/** The metric that the kernel gives to routes of ours, who name none: none for IPv4, IP6_RT_PRIO_USER for IPv6. */
export const defaultMetric = (family: Family): number => (family === 4 ? 0 : 1024);

export const addressKey = (of: Pick<DesiredAddress, "device" | "address" | "length">): string =>
  `${of.device} ${of.address}/${of.length}`;
export const neighbourKey = (of: Pick<DesiredNeighbour, "device" | "address">): string => `${of.device} ${of.address}`;
export const fdbKey = (of: Pick<DesiredFdbEntry, "device" | "mac">): string => `${of.device} ${of.mac}`;
export const routeKey = ({ destination, metric }: Pick<DesiredRoute, "destination" | "metric">): string =>
  metric === undefined || metric === defaultMetric(prefixFamily(destination))
    ? destination
    : `${destination} metric ${metric}`;

export const sysctlKey = (of: Pick<DesiredSysctl, "name">): string => of.name.join("/");

export const nothingDesired: DesiredKernel = { own: { links: [], addresses: [], sysctls: [] }, peers: new Map() };
