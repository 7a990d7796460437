import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { InterfaceAddress, Prefix } from "../base/prefix.ts";
import type { AttachmentKey } from "../model/attachment-key.ts";
import type { PodMtu } from "./pod-mtu.ts";

export type { AttachmentKey, PodMtu };

export interface PodRoute {
  readonly destination: Prefix;
  readonly gateway?: Address;
  /** Left out where another interface of the pod leads there already: a default route that nobody asked for. */
  readonly yields?: true;
}

/** What a pod's interface is to be: a plain value that is stored and compared. */
export interface AttachPlan {
  readonly key: AttachmentKey;
  /** Pod addresses, host-length for routed, subnet-length for bridge and macvlan. */
  readonly addresses: readonly InterfaceAddress[];
  /** On-link gateways, at most one a family, where the attachment has none of its own (bridge, macvlan). */
  readonly gateways: readonly Address[];
  /** All routes, default routes included. Without a gateway: through the attachment's or the plan's gateway of that family. */
  readonly routes: readonly PodRoute[];
  /** Bytes. */
  readonly mtu: number;
  /** PodMtu.sends: set by setMtu after the pod was attached, for it begins later. */
  readonly sendMtu?: number;
  /** Absent: one that follows from the key. */
  readonly mac?: Mac;
}

export interface AttachRequest extends AttachPlan {
  /** Open file descriptor of the pod's network namespace; stays the caller's. */
  readonly netns: number;
}

export interface AttachedLink {
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
}

/** What was made; written into the CNI result. */
export interface Attached {
  /** Absent for attachments without a host side (macvlan). */
  readonly host?: AttachedLink;
  readonly pod: AttachedLink;
  /** With their gateways filled in; without those that yielded. */
  readonly routes: readonly PodRoute[];
  /** The pod's next hops, at most one a family. */
  readonly gateways: readonly Address[];
}

/** A pod that was attached earlier, as remembered. */
export interface AttachedPod {
  readonly plan: AttachPlan;
  readonly attached: Attached;
}

export interface Repair {
  /** What was mended, each a sentence. Empty: nothing was wrong and nothing was written. */
  readonly mended: readonly string[];
  /** What cannot be mended from the node's side, with the reason: these pods must be made anew. */
  readonly broken: readonly { readonly key: AttachmentKey; readonly reason: string }[];
}

/** How a pod is joined to its node. One folder each, one contract suite (attachment.contract.ts). Synchronous: netlink answers at once. */
export interface Attachment {
  readonly type: "routed" | "bridge" | "macvlan";
  /**
   * All or nothing: on error nothing is left behind.
   * @throws TwillError `exists` when the pod has an interface of that name; `kernel`, `not-found`, `invalid` otherwise.
   */
  attach(request: AttachRequest): Attached;
  /** Idempotent. When it returns, neither namespace shows the interface. `netns` undefined: the namespace is gone. */
  detach(key: AttachmentKey, netns: number | undefined): void;
  /** Each difference between what was made and what is there now, as a sentence. */
  check(request: AttachRequest, attached: Attached): readonly string[];
  /** Mends the node's side of these pods, e.g. after damage by hand; reads everything once and writes only differences. */
  repair(pods: readonly AttachedPod[]): Repair;
  /** Of a running pod. @throws TwillError `not-found` when there is no such interface. */
  setMtu(key: AttachmentKey, netns: number | undefined, mtu: PodMtu): void;
  /** Host-side devices of ours that belong to no known key, by name: what a crash left. */
  strays(known: readonly AttachmentKey[]): readonly string[];
  /** Removes a device that `strays` named; nothing happens when it is gone. */
  remove(stray: string): void;
}
