import type { Address, Family } from "../base/address.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Standing } from "./live-switch.ts";

/** The cluster's pod network as its administrator wrote it (net-conf.json), defaults filled in. */
export interface ClusterNetwork {
  readonly ipv4?: NetworkRange;
  readonly ipv6?: NetworkRange;
  /** Further ranges of either family, which no other overlaps: MoreNetworks, a field that is Twill's own. */
  readonly further?: readonly FurtherRange[];
  readonly backend: BackendConfig;
  /** EnableNFTables as written. Twill always uses nftables; the field is kept so that it is never lost. */
  readonly enableNFTables: boolean;
}

/** Where the nodes' subnets of one family come from. */
export interface NetworkRange {
  readonly network: Prefix;
  readonly subnetLength: number;
  /** First and last subnet that may be leased, inclusive. */
  readonly subnetMin: Prefix;
  readonly subnetMax: Prefix;
}

export interface FurtherRange extends NetworkRange {
  /** Nodes claim no subnet of it any more, and give back what they have once no pod uses it. */
  readonly retired: boolean;
}

export type BackendConfig = VxlanConfig | HostGwConfig | AllocConfig | ExtensionConfig;

export interface VxlanConfig {
  readonly type: "vxlan";
  readonly vni: number;
  readonly port: number;
  readonly gbp: boolean;
  readonly learning: boolean;
  readonly directRouting: boolean;
  /** MTU of the underlay to reckon with, as Flannel: the overhead is subtracted from it. Absent: that of the underlay device. */
  readonly mtu?: number;
  /**
   * A letter behind this node's name of the device, because a tunnel of the same VNI and another port had the name when
   * this one was made. Never written by people: the node's own, and kept with its position (docs/design/live-switch.md).
   */
  readonly variant?: string;
}
export interface HostGwConfig {
  readonly type: "host-gw";
}
export interface AllocConfig {
  readonly type: "alloc";
}
/** Documented Flannel behaviour: each command is run by a shell, as root. Only when the agent's own flag allows it. */
export interface ExtensionConfig {
  readonly type: "extension";
  readonly preStartup?: string;
  readonly postStartup?: string;
  readonly subnetAdd?: string;
  readonly subnetRemove?: string;
}

/** A node's claim of subnets, and what the others must know to reach them. Flannel's lease. */
export interface Lease {
  readonly node: string;
  /** Which machine of that name (Holder.id of ipam): two machines given one name must notice. Absent: the peer did not say (flanneld). */
  readonly id?: string;
  readonly subnets: readonly Prefix[];
  /** Underlay addresses, at most one a family. */
  readonly addresses: readonly Address[];
  readonly backendType: string;
  /** Opaque to all but the backend of that type: Flannel's BackendData and BackendV6Data. */
  readonly backendData: Readonly<Partial<Record<Family, unknown>>>;
  /** Interface prefix of `addresses` on their link: whether two nodes share a subnet. Absent when the peer did not say (flanneld). */
  readonly underlays?: readonly Prefix[];
  /** Port on which the node's agent answers other agents, over its underlay addresses. */
  readonly peerPort?: number;
  /** MTU of its underlay interface, bytes: for people, who want to know what a change would do there. */
  readonly underlayMtu?: number;
  /** By what it receives and sends while the cluster's configuration changes. Absent: it takes no part in that (flanneld). */
  readonly standing?: Standing;
}
