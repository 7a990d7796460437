import type { Address, Family } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";

export type { Problem };

/**
 * What one node should be, in the user's terms and without kernel numbers (devices by name), in parts: what is its own, and
 * what it has for each peer. The output of compile, the input of render. No part says anything about another, so a part can
 * be replaced alone; each is a plain value that prints as JSON.
 */
export interface NodeState {
  readonly own: OwnState;
  /** By node name. */
  readonly peers: ReadonlyMap<string, PeerState>;
}

/**
 * How a node's state differs from the one before. With `own` it is the whole state: peers that it does not name are gone.
 * Without, it names the peers that are other now, or gone (undefined).
 */
export interface StateChange {
  readonly own?: OwnState;
  readonly peers: ReadonlyMap<string, PeerState | undefined>;
}

/** The part that depends on no peer. */
export interface OwnState {
  readonly node: string;
  readonly tunnels: readonly TunnelDevice[];
  readonly masquerade?: Masquerade;
  /** MTU of pod interfaces, bytes. */
  readonly podMtu: number;
  /** What pods may send, bytes, while that is less: the cluster's configuration is changing. */
  readonly podSendMtu?: number;
  /** Own subnets, for the pods' attachments. */
  readonly subnets: readonly Prefix[];
  /** Kernel settings that the rest depends on, in the order in which they must be written. */
  readonly sysctls: readonly SysctlSetting[];
  /** The commands of backend extension. Only when that is the backend; run by the agent, and only when its flag allows it. */
  readonly commands?: ExtensionCommands;
  /** What could not be done on this node itself. The rest holds all the same. */
  readonly problems: readonly Problem[];
}

/** What a node has for one peer: the way to its pods. */
export interface PeerState {
  readonly routes: readonly PeerRoute[];
  readonly neighbours: readonly PeerNeighbour[];
  readonly forwarding: readonly PeerForwarding[];
  /** Backend extension only. */
  readonly commands?: PeerCommands;
  /** Where its agent can be asked. Absent: nowhere. */
  readonly contact?: PeerContact;
  /** What could not be done for it, each naming it. */
  readonly problems: readonly Problem[];
}

/** Of all parts, the own first. */
export const problemsOf = ({ own, peers }: NodeState): readonly Problem[] =>
  [own, ...peers.values()].flatMap((part) => part.problems);

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
}

/** `add` is run when the peer's subnets appear or anything in them changes, `remove` (with the data of then) when they go. */
export interface PeerCommands {
  readonly add?: ExtensionCommand;
  readonly remove?: ExtensionCommand;
}

export interface ExtensionCommand {
  readonly shell: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: string;
}

/** The way to one of the peer's subnets. */
export interface PeerRoute {
  readonly destination: Prefix;
  readonly device: string;
  readonly gateway: Address;
  readonly onlink: boolean;
  readonly source?: Address;
}

export interface PeerNeighbour {
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** VXLAN: the remote tunnel end behind an Ethernet address. */
export interface PeerForwarding {
  readonly device: string;
  readonly mac: Mac;
  readonly remote: Address;
}

/** The peer's agent, as src/rpc/peer asks it. */
export interface PeerContact {
  readonly port: number;
  readonly underlay: Address;
  /** An address of the node inside the pod network (its tunnel device's). Absent: the backend gives it none. */
  readonly overlay?: Address;
}

export interface Masquerade {
  /** Per family: the cluster networks; traffic between them keeps its addresses. */
  readonly networks: readonly Prefix[];
  /** This node's subnets. */
  readonly local: readonly Prefix[];
  readonly families: readonly Family[];
}
