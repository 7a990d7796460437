import { type Address, tryAddress } from "../../base/address.ts";
import type { Labels, PolicyNode } from "../../model/policy.ts";
import { isLabelKey } from "./labels.ts";

/** As much of a Node (core/v1) as policy needs; from an API server, so it is well formed or left out. */
export interface NodeObject {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
}

/** The kubelet sets it; nodes without a Node object have at least this. */
export const HOSTNAME_LABEL = "kubernetes.io/hostname";

/**
 * A machine as policy sees it: the addresses of its Node that are addresses (not host names), and `further` ones: of its lease, its
 * tunnel devices, and its other interfaces.
 */
export function policyNode({ metadata, status }: NodeObject, further: Iterable<Address>): PolicyNode {
  const own = (status?.addresses ?? []).flatMap(({ address }) => tryAddress(address) ?? []);
  const labels: Labels = Object.fromEntries(
    Object.entries(metadata.labels ?? {})
      .filter(([key, value]) => isLabelKey(key) && typeof value === "string")
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return { name: metadata.name, labels, addresses: [...new Set([...own, ...further])].sort() };
}

/** Where there are no Node objects. */
export const bareNode = (name: string, addresses: Iterable<Address>, labels: Labels = {}): PolicyNode => ({
  name,
  labels: { [HOSTNAME_LABEL]: name, ...labels },
  addresses: [...new Set(addresses)].sort(),
});
