import type { Address } from "../../base/address.ts";
import { contains } from "../../base/prefix.ts";
import type { Labels, NamedPort, PolicyNode } from "../../model/policy.ts";
import { matchesEndpoint, matchesLabels } from "./selector.ts";
import { maybe, no, type PeerLeaf, type Truth, truthOf } from "./truth.ts";

/**
 * Who may be at an address. Usually one; none: outside of the cluster. While an address goes from one endpoint to another,
 * and one node's news are late, two claim it, and nobody can tell whose packets these are: then what any of them is denied,
 * is denied. Only an attachment on this node is certain, and claims alone.
 */
export type Claim = EndpointClaim | NodeClaim;

export interface EndpointClaim {
  readonly namespace: string;
  /** Undefined: of this endpoint or its namespace nothing is known. */
  readonly known: KnownEndpoint | undefined;
}

export interface KnownEndpoint {
  readonly labels: Labels;
  readonly namespaceLabels: Labels;
  readonly serviceAccount?: string | undefined;
  readonly ports: readonly NamedPort[];
}

export interface NodeClaim {
  readonly node: PolicyNode | undefined;
  /** The node that judges. */
  readonly own: boolean;
}

/** An address; one that is in no network that anybody names; or one of which nothing is known. */
export type Place = Address | "nowhere" | "anywhere";

/** @param claim undefined: nobody of the cluster. */
export function leafHolds(leaf: PeerLeaf, claim: Claim | undefined, place: Place): Truth {
  if ("networks" in leaf) {
    if (place === "anywhere") return maybe;
    if (place === "nowhere") return no;
    const inside = (prefixes: typeof leaf.networks) => prefixes.some((prefix) => contains(prefix, place));
    return truthOf(inside(leaf.networks) && !inside(leaf.except));
  }
  if (claim === undefined) return no;
  if ("nodes" in leaf) return truthOf("own" in claim && nodeMatches(leaf.nodes, claim));
  return endpointMatches(leaf.endpoints, claim);
}

const nodeMatches = (selector: Parameters<typeof matchesLabels>[0], { node }: NodeClaim): boolean =>
  node !== undefined && matchesLabels(selector, node.labels);

export function endpointMatches(match: Parameters<typeof matchesEndpoint>[0], claim: Claim): Truth {
  if ("own" in claim) return no;
  const { namespace, known } = claim;
  if (known === undefined) return maybe;
  const { labels, serviceAccount, namespaceLabels } = known;
  return truthOf(
    matchesEndpoint(
      match,
      { namespace, labels, ...(serviceAccount === undefined ? {} : { serviceAccount }) },
      namespaceLabels,
    ),
  );
}
