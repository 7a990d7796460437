import type { Address, Family } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { Prefix } from "../base/prefix.ts";

/**
 * What one node should be, in the user's terms and without kernel numbers (devices by name). The output of compile,
 * the input of render; a plain value that prints as JSON.
 */
export interface NodeState {
  readonly node: string;
  readonly tunnels: readonly TunnelDevice[];
  readonly routes: readonly PeerRoute[];
  readonly neighbours: readonly PeerNeighbour[];
  readonly forwarding: readonly PeerForwarding[];
  readonly masquerade?: Masquerade;
  /** MTU of pod interfaces, bytes. */
  readonly podMtu: number;
  /** Own subnets, for the pods' attachments. */
  readonly subnets: readonly Prefix[];
  /** What could not be done, each naming the object at fault. The rest holds all the same. */
  readonly problems: readonly Problem[];
}

/** A device that carries packets between nodes. Alone carries the attributes that its kind needs. */
export interface TunnelDevice {
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
  };
  readonly mac: Mac;
  readonly mtu: number;
  readonly addresses: readonly Prefix[];
}

/** A remote node's subnet and the way to it. */
export interface PeerRoute {
  /** Name of the node that the route leads to; content key together with destination. */
  readonly peer: string;
  readonly destination: Prefix;
  readonly device: string;
  readonly gateway: Address;
  readonly onlink: boolean;
  readonly source?: Address;
}

export interface PeerNeighbour {
  readonly peer: string;
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** VXLAN: the remote tunnel end behind an Ethernet address. */
export interface PeerForwarding {
  readonly peer: string;
  readonly device: string;
  readonly mac: Mac;
  readonly remote: Address;
}

export interface Masquerade {
  /** Per family: the cluster networks; traffic between them keeps its addresses. */
  readonly networks: readonly Prefix[];
  /** This node's subnets. */
  readonly local: readonly Prefix[];
  readonly families: readonly Family[];
}

export interface Problem {
  readonly severity: "error" | "warning";
  /** Who is at fault or affected: a node's name, a device, a field. */
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
}
