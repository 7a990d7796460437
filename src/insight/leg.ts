import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { ProbePacket } from "./probe-packet.ts";

/** The part of a packet's way that lies on one node, as that node's kernel would have it. Plain values: they travel between agents. */
export interface Leg {
  readonly node: string;
  readonly hops: readonly Hop[];
  readonly exit: Exit;
}

export interface Hop {
  readonly node: string;
  /** Where on the node, in words: "pod default/web", "routing", "flannel.1". */
  readonly place: string;
  /** What happens there, with the object that decides: a route, an entry, a rule. */
  readonly text: string;
  /** "unsure": something decides that a model cannot know. */
  readonly verdict: "passes" | "stops" | "unsure";
  /** What to do, where it stops. */
  readonly remedy?: string;
  /** Where the packet can be seen passing, if this is a device. */
  readonly watch?: WatchPoint;
}

/** A device, in a pod or on the node, and which way the packet passes it. */
export interface WatchPoint {
  /** "namespace/name"; absent: the node's own. */
  readonly pod?: string;
  readonly device: string;
  readonly outgoing: boolean;
}

export interface Encapsulation {
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  /** The tunnel ends' underlay addresses. */
  readonly local: Address;
  readonly remote: Address;
  /** Ethernet address inside: the other end's tunnel device. */
  readonly destinationMac: Mac;
}

/** How the packet leaves the node. */
export type Exit =
  | { readonly to: "pod"; readonly pod: string }
  | { readonly to: "node" }
  /** Into the underlay: to `nextHop` on the link, in a tunnel or as it is. `packet`: as it leaves, addresses translated. */
  | {
      readonly to: "wire";
      readonly nextHop: Address;
      readonly encapsulation?: Encapsulation;
      readonly packet: ProbePacket;
      /** By whose rule the source is the node's from here on. */
      readonly masqueraded?: string;
    }
  | { readonly to: "nowhere" };

/** How it came to the node. */
export type Entry =
  | { readonly from: "pod"; readonly pod: string }
  | { readonly from: "node" }
  | { readonly from: "wire"; readonly encapsulation?: Encapsulation };
