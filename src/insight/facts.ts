import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Lease } from "../model/network.ts";
import type {
  NodeState,
  PeerForwarding,
  PeerNeighbour,
  PeerRoute,
  Problem,
  TunnelDevice,
} from "../model/node-state.ts";
import type { NodeView } from "./node-view.ts";

/** What the agent knows, beside what the kernel holds: the same when it runs, and when its files are read after its death. */
export interface AgentKnowledge {
  readonly version: string;
  /** Of the CNI plugin that is installed; undefined: it cannot be told. */
  readonly pluginVersion: string | undefined;
  /** Tells this machine from another of its name. */
  readonly identity: string | undefined;
  /** The cluster's networks. */
  readonly networks: readonly Prefix[];
  readonly state: NodeState | undefined;
  readonly leases: ReadonlyMap<string, Lease>;
  readonly attachment: "routed" | "bridge" | "foreign";
  readonly waitingFor: readonly string[];
  readonly problems: readonly Problem[];
}

/** All that the checks of one node look at. */
export interface NodeFacts {
  readonly node: string;
  readonly view: NodeView;
  readonly agent: AgentKnowledge;
  readonly tunnels: readonly TunnelDevice[];
  readonly routes: readonly (PeerRoute & { readonly peer: string })[];
  readonly neighbours: readonly (PeerNeighbour & { readonly peer: string })[];
  readonly forwarding: readonly (PeerForwarding & { readonly peer: string })[];
  readonly podMtu: number | undefined;
  /** Its own lease, as the datastore has it. */
  readonly lease: Lease | undefined;
}

export function factsOf(view: NodeView, agent: AgentKnowledge): NodeFacts {
  const peers = [...(agent.state?.peers ?? [])];
  const { node } = view;
  return {
    node,
    view,
    agent,
    tunnels: agent.state?.own.tunnels ?? [],
    routes: peers.flatMap(([peer, part]) => part.routes.map((route) => ({ ...route, peer }))),
    neighbours: peers.flatMap(([peer, part]) => part.neighbours.map((neighbour) => ({ ...neighbour, peer }))),
    forwarding: peers.flatMap(([peer, part]) => part.forwarding.map((entry) => ({ ...entry, peer }))),
    podMtu: agent.state?.own.podMtu,
    lease: agent.leases.get(node),
  };
}

/** What a node tells the others of itself, so that they can compare. */
export interface Card {
  readonly node: string;
  readonly version: string;
  /** Wall-clock milliseconds since 1970. */
  readonly now: number;
  readonly tunnels: readonly { readonly device: string; readonly mac: Mac }[];
  readonly pods: readonly { readonly id: string; readonly addresses: readonly Address[] }[];
  /** Segments thrown away for a wrong checksum since boot, TCP and UDP, on the node and in its pods. */
  readonly checksumErrors: number;
}
