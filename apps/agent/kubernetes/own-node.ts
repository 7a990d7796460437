import { type Address, tryAddress } from "../../../src/base/address.ts";
import { TwillError } from "../../../src/base/errors.ts";
import type { Prefix } from "../../../src/base/prefix.ts";
import { annotated, overwrittenAddresses, parsePodCidrs } from "../../../src/intent/flannel/node-annotations.ts";
import type { Node, NodeCondition } from "../../../src/store/kubernetes/object.ts";

/** What the agent heeds of its own Node. Everything in it was written by others. */
export interface OwnNode {
  readonly uid: string;
  /** IPv4 first, at most one a family; empty while none are assigned. */
  readonly podCidrs: readonly Prefix[];
  /** public-ip-overwrite and public-ipv6-overwrite: what the others shall use, whatever the interfaces say. */
  readonly overwritten: readonly Address[];
  /** Where the kubelet says that it is. */
  readonly kubelet: readonly Address[];
  /** The condition NetworkUnavailable, whoever wrote it. */
  readonly unavailable: NodeCondition | undefined;
  /** Why podCIDRs or overwritten addresses count as absent. */
  readonly errors: readonly TwillError[];
}

export function readOwnNode(node: Node): OwnNode {
  const errors: TwillError[] = [];
  const attempt = <T>(read: () => readonly T[]): readonly T[] => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      errors.push(error);
      return [];
    }
  };
  const from = annotated(node);
  const status = node.status ?? {};
  return {
    uid: node.metadata.uid ?? "",
    podCidrs: attempt(() => parsePodCidrs(from)),
    overwritten: attempt(() => overwrittenAddresses(from)),
    kubelet: (status.addresses ?? []).flatMap(({ type, address }) =>
      type === "InternalIP" || type === "ExternalIP" ? (tryAddress(address) ?? []) : [],
    ),
    unavailable: status.conditions?.find(({ type }) => type === "NetworkUnavailable"),
    errors,
  };
}
