import type { Address, Family } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";

/** Route protocol number (rtm_protocol) of everything Twill installs: how its own routes are found again after a restart. */
export const TWILL_ROUTE_PROTOCOL = 0x54;

/**
 * Route protocol number of the routes to this node's own pods (device twl*, cni0…). They belong to src/attach, which
 * makes and removes them with the pod; apply reconciles TWILL_ROUTE_PROTOCOL only and never touches these.
 */
export const TWILL_POD_ROUTE_PROTOCOL = 0x55;

export const mainTable = 254;
export const localTable = 255;

export type RouteType =
  | "unicast"
  | "local"
  | "broadcast"
  | "anycast"
  | "multicast"
  | "blackhole"
  | "unreachable"
  | "prohibit"
  | "throw"
  | "nat"
  | "other";
export type RouteScope = "universe" | "site" | "link" | "host" | "nowhere";

/** A route, as read or as wanted. IPv6 routes have no scope; the kernel reports universe. */
export interface Route {
  /** 0.0.0.0/0 or ::/0 is the default route. */
  readonly destination: Prefix;
  readonly type: RouteType;
  readonly table: number;
  readonly protocol: number;
  readonly scope: RouteScope;
  /** RTA_PRIORITY. The kernel reports 1024 for IPv6 routes without one. */
  readonly metric: number;
  readonly gateway?: Address;
  /** RTA_OIF, interface index. Absent for blackhole and for multipath routes. */
  readonly device?: number;
  /** RTA_PREFSRC. */
  readonly source?: Address;
  /** RTNH_F_ONLINK: the gateway is reachable on the device although no route says so. */
  readonly onlink?: boolean;
  /** RTAX_MTU. */
  readonly mtu?: number;
  readonly advmss?: number;
  /** The kernel marks a route whose device lost its carrier (RTNH_F_LINKDOWN, RTNH_F_DEAD). Read only. */
  readonly dead?: boolean;
  readonly hops?: readonly NextHop[];
}

export interface NextHop {
  readonly gateway?: Address;
  readonly device: number;
  readonly weight: number;
  readonly onlink?: boolean;
}

/** A policy routing rule (FRA_*). */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly mark?: number;
  readonly mask?: number;
  readonly inputDevice?: string;
  readonly outputDevice?: string;
  readonly protocol?: number;
  readonly invert?: boolean;
  readonly action: "lookup" | "blackhole" | "unreachable" | "prohibit" | "other";
}

/** An address on an interface (RTM_NEWADDR). */
export interface DeviceAddress {
  readonly device: number;
  readonly address: Address;
  readonly length: number;
  readonly scope: RouteScope;
  readonly label?: string;
  readonly peer?: Address;
  readonly broadcast?: Address;
  /** IFA_F_NODAD: no duplicate address detection, usable at once (IPv6). */
  readonly noDad?: boolean;
  /** IFA_F_NOPREFIXROUTE. */
  readonly noPrefixRoute?: boolean;
  /** Read only: DAD is still running or has failed. */
  readonly tentative?: boolean;
  readonly dadFailed?: boolean;
  readonly permanent?: boolean;
}
