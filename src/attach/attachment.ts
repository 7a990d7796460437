import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import type { InterfaceAddress, Prefix } from "../base/prefix.ts";
import type { AttachmentKey } from "../model/attachment-key.ts";

export type { AttachmentKey };

/** What to put into the pod. */
export interface AttachRequest {
  readonly key: AttachmentKey;
  /** Open file descriptor of the pod's network namespace. */
  readonly netns: number;
  /** Pod addresses, host-length for routed, subnet-length for bridge and macvlan; at most one a family in most clusters. */
  readonly addresses: readonly InterfaceAddress[];
  /** On-link gateways by family, where the attachment needs them (bridge, macvlan). */
  readonly gateways: readonly Address[];
  readonly routes: readonly { readonly destination: Prefix; readonly gateway?: Address }[];
  readonly mtu: number;
  readonly mac?: Mac;
}

/** What was made; written into the CNI result. */
export interface Attached {
  /** Absent for attachments without a host side (macvlan). */
  readonly host?: { readonly name: string; readonly mac: Mac; readonly mtu: number };
  readonly pod: { readonly name: string; readonly mac: Mac; readonly mtu: number };
  readonly routes: readonly { readonly destination: Prefix; readonly gateway?: Address }[];
  readonly gateways: readonly Address[];
}

/** How a pod is joined to its node. One folder each, one contract suite (attachment.contract.ts). Synchronous: netlink answers at once. */
export interface Attachment {
  readonly type: "routed" | "bridge" | "macvlan";
  /** All or nothing: on error nothing is left behind. @throws TwillError `exists` when the pod has an interface of that name. */
  attach(request: AttachRequest): Attached;
  /** Idempotent. `netns` undefined: the namespace is gone. */
  detach(key: AttachmentKey, netns: number | undefined, addresses: readonly Address[]): void;
  /** Each difference between what was made and what is there now, as a sentence. */
  check(request: AttachRequest, attached: Attached): readonly string[];
  /** Host-side devices of ours that belong to no known key, by name: what a crash left. */
  strays(known: readonly AttachmentKey[]): readonly string[];
  remove(stray: string): void;
}
