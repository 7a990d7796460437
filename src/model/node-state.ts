import type { Address, Family } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";

export type { Problem };

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
  /** Kernel settings that the rest depends on, in the order in which they must be written. */
  readonly sysctls: readonly SysctlSetting[];
  /** The commands of backend extension. Only when that is the backend; run by the agent, and only when its flag allows it. */
  readonly commands?: ExtensionCommands;
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
    /** Checksum of the outer UDP header. IPv6 always carries it (RFC 8200 section 8.1). */
    readonly outerChecksum: boolean;
  };
  readonly mac: Mac;
  readonly mtu: number;
  readonly addresses: readonly Prefix[];
  /** False: checksums of the packets inside are made by the CPU before they enter the tunnel, for NICs that corrupt them. */
  readonly txChecksumOffload: boolean;
}

/** One network setting of the kernel. */
export interface SysctlSetting {
  /** Its path below /proc/sys/net, in parts, for device names hold dots: ["ipv4", "ip_forward"]. */
  readonly name: readonly string[];
  readonly value: string;
  /** The device it belongs to, when it exists only together with that device. */
  readonly device?: string;
  /** The kernel may lack it (IPv6 switched off): then it is left out in silence. */
  readonly optional?: boolean;
}

/** What backend extension runs, when. Each command is a text for `sh -c`, as root, with the agent's environment added to. */
export interface ExtensionCommands {
  /** Before the subnet is claimed; its output becomes the BackendData of this node's lease. */
  readonly preStartup?: ExtensionCommand;
  /** After the subnet is claimed. */
  readonly postStartup?: ExtensionCommand;
  /** One a peer: `add` when its subnets appear or anything in them changes, `remove` (with the data of then) when they go. */
  readonly peers: readonly ExtensionPeer[];
}

export interface ExtensionPeer {
  readonly peer: string;
  readonly add?: ExtensionCommand;
  readonly remove?: ExtensionCommand;
}

export interface ExtensionCommand {
  readonly shell: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: string;
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
