import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { Prefix } from "../base/prefix.ts";

/** What the agent knows of its own machine: the input of the backends that no other node can supply. */
export interface LocalNode {
  readonly name: string;
  readonly subnets: readonly Prefix[];
  readonly underlay: Underlay;
  /** VTEP Ethernet addresses kept over restarts, by device name. */
  readonly macs: Readonly<Record<string, Mac>>;
  /** Checksum offload of tunnel devices as the administrator set it. Absent: decided from the underlay's driver. */
  readonly txChecksumOffload?: boolean;
  /** What backend extension's PreStartupCommand printed, white space trimmed at both ends. */
  readonly preStartupOutput?: string;
}

/** The device and addresses by which this node reaches the others. */
export interface Underlay {
  readonly device: string;
  readonly index: number;
  /** Bytes. */
  readonly mtu: number;
  readonly ipv4?: Address;
  readonly ipv6?: Address;
  /** Kernel driver of `device` (ETHTOOL_GDRVINFO), where it has one. */
  readonly driver?: string;
  /** The device takes addresses or routes from IPv6 router advertisements, which the kernel stops when it forwards. */
  readonly routerAdvertisements?: boolean;
  /** Networks that are directly attached through `device`: who needs no tunnel under DirectRouting, and whom host-gw can reach. */
  readonly attached: readonly Prefix[];
}
