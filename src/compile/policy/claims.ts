import type { Address } from "../../base/address.ts";
import type { EndpointName, PolicyModel, WorkloadEndpoint } from "../../model/policy.ts";
import type { Claim, EndpointClaim } from "./claim.ts";

/** Endpoints joined to the judging node, by its own knowledge, with their addresses. */
export type Attached = ReadonlyMap<EndpointName, readonly Address[]>;

export function endpointClaim(
  model: Pick<PolicyModel, "namespaces">,
  name: EndpointName,
  endpoint: WorkloadEndpoint | undefined,
): EndpointClaim {
  const namespace = endpoint?.namespace ?? name.slice(0, name.indexOf("/"));
  const namespaceLabels = model.namespaces.get(namespace)?.labels;
  if (endpoint === undefined || endpoint.unknown === true || namespaceLabels === undefined) {
    return { namespace, known: undefined };
  }
  const { labels, serviceAccount, ports } = endpoint;
  return { namespace, known: { labels, namespaceLabels, serviceAccount, ports } };
}

export interface NamedClaim {
  /** Undefined: a node. */
  readonly endpoint: EndpointName | undefined;
  readonly claim: Claim;
  /** It is an endpoint of the judging node. */
  readonly local: boolean;
}

/** Of every address that somebody claims, who does. */
export function claimsOf(
  model: PolicyModel,
  attached: Attached,
  node: string,
): ReadonlyMap<Address, readonly NamedClaim[]> {
  const claims = new Map<Address, NamedClaim[]>();
  const add = (address: Address, claim: NamedClaim) => {
    const others = claims.get(address);
    if (others === undefined) claims.set(address, [claim]);
    else if (!others.some(({ endpoint }) => endpoint === claim.endpoint && endpoint !== undefined)) others.push(claim);
  };
  const certain = new Set<Address>();
  for (const name of [...attached.keys()].sort()) {
    const claim = endpointClaim(model, name, model.endpoints.get(name));
    for (const address of attached.get(name) ?? []) {
      certain.add(address);
      add(address, { endpoint: name, claim, local: true });
    }
  }
  for (const name of [...model.endpoints.keys()].sort()) {
    const endpoint = model.endpoints.get(name);
    if (endpoint === undefined || attached.has(name)) continue;
    const claim = endpointClaim(model, name, endpoint);
    for (const address of endpoint.addresses) {
      if (!certain.has(address)) add(address, { endpoint: name, claim, local: endpoint.node === node });
    }
  }
  for (const one of [...model.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const claim = { node: one, own: one.name === node };
    for (const address of one.addresses) {
      if (!certain.has(address)) add(address, { endpoint: undefined, claim, local: false });
    }
  }
  return claims;
}
