import type { Family } from "../base/address.ts";
import type { BackendConfig, ClusterNetwork, Lease } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import type {
  ExtensionCommands,
  PeerCommands,
  PeerForwarding,
  PeerNeighbour,
  PeerRoute,
  Problem,
  TunnelDevice,
} from "../model/node-state.ts";

/** What a backend wants on this node whoever its peers are. Pure data; render turns it into kernel objects. */
export interface BackendPlan {
  readonly tunnels: readonly TunnelDevice[];
  readonly problems: readonly Problem[];
  /** Backend extension only. */
  readonly commands?: ExtensionCommands;
  /** Bytes a packet between pods may have. */
  readonly podMtu: number;
}

/** What a backend wants on this node for one peer. */
export interface PeerPlan {
  readonly routes: readonly PeerRoute[];
  readonly neighbours: readonly PeerNeighbour[];
  readonly forwarding: readonly PeerForwarding[];
  readonly problems: readonly Problem[];
  /** Backend extension only. */
  readonly commands?: PeerCommands;
}

/** What a node tells the others in its lease. */
export interface Advertisement {
  readonly backendType: string;
  readonly backendData: Readonly<Partial<Record<Family, unknown>>>;
}

/**
 * Plans for one peer, from its lease alone: it is told of no other peer, so that one peer's change can never be another's.
 * What two peers cannot both have (src/compile/compilation.ts) is decided above. The lease is of this backend's type.
 */
export type PeerPlanner = (lease: Lease) => PeerPlan;

/**
 * How packets cross nodes. One folder, one registration, one contract suite (backend.contract.ts). Synchronous, no I/O,
 * no clock, no randomness; the result depends on the arguments alone.
 */
export interface Backend<C extends BackendConfig = BackendConfig> {
  readonly type: C["type"];
  /** Names of devices whose Ethernet address must be kept over restarts (LocalNode.macs), for this configuration. */
  macsFor(config: C, network: ClusterNetwork): readonly string[];
  advertise(config: C, network: ClusterNetwork, local: LocalNode): Advertisement;
  plan(config: C, network: ClusterNetwork, local: LocalNode): BackendPlan;
  peerPlanner(config: C, network: ClusterNetwork, local: LocalNode): PeerPlanner;
}

/** Nothing at all; backends say what differs. */
export const emptyPeerPlan: PeerPlan = { routes: [], neighbours: [], forwarding: [], problems: [] };
