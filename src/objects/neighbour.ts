import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";

export type NeighbourState =
  | "incomplete"
  | "reachable"
  | "stale"
  | "delay"
  | "probe"
  | "failed"
  | "noarp"
  | "permanent"
  | "none";

/** Address → Ethernet address on a device (AF_INET, AF_INET6). */
export interface Neighbour {
  readonly device: number;
  readonly address: Address;
  readonly mac?: Mac;
  readonly state: NeighbourState;
  readonly proxy?: boolean;
}

/** Forwarding entry of a VXLAN device or bridge (AF_BRIDGE, NTF_SELF or NTF_MASTER). */
export interface FdbEntry {
  readonly device: number;
  readonly mac: Mac;
  /** VXLAN: address of the remote tunnel end. */
  readonly remote?: Address;
  readonly state: NeighbourState;
  /** NTF_SELF: in the device's own table, not its bridge's. */
  readonly self: boolean;
  readonly master?: number;
}
