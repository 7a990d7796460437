import type { Address } from "../../base/address.ts";
import type { PolicyModel } from "../../model/policy.ts";
import { policyName } from "../../model/policy.ts";
import { PolicyIndex } from "./applied.ts";

/** What of a cluster's policy has to do with some addresses: enough to judge flows between them. As it goes over the wire. */
export interface ModelPart {
  /** How many policies there are in all. Without any nobody follows who is who. */
  readonly total: number;
  readonly namespaces: readonly ValueOf<"namespaces">[];
  readonly endpoints: readonly (readonly [name: string, endpoint: ValueOf<"endpoints">])[];
  readonly nodes: readonly ValueOf<"nodes">[];
  readonly tiers: readonly ValueOf<"tiers">[];
  readonly policies: readonly ValueOf<"policies">[];
}

type ValueOf<K extends keyof PolicyModel> = PolicyModel[K] extends ReadonlyMap<string, infer V> ? V : never;

export function partOf(model: PolicyModel, addresses: readonly Address[]): ModelPart {
  const wanted = new Set(addresses);
  const at = ({ addresses: own }: { readonly addresses: readonly Address[] }): boolean =>
    own.some((one) => wanted.has(one));
  const endpoints = [...model.endpoints].filter(([, endpoint]) => at(endpoint));
  const homes = new Set(endpoints.map(([, { node }]) => node));
  const spaces = new Set(endpoints.map(([, { namespace }]) => namespace));
  const index = new PolicyIndex(model);
  const policies = new Set(endpoints.flatMap(([, endpoint]) => index.selecting(endpoint)));
  return {
    total: model.policies.size,
    namespaces: [...model.namespaces.values()].filter(({ name }) => spaces.has(name)),
    endpoints,
    nodes: [...model.nodes.values()].filter((node) => at(node) || homes.has(node.name)),
    tiers: [...model.tiers.values()],
    policies: [...policies],
  };
}

export const modelOf = ({ namespaces, endpoints, nodes, tiers, policies }: Omit<ModelPart, "total">): PolicyModel => ({
  namespaces: new Map(namespaces.map((namespace) => [namespace.name, namespace])),
  endpoints: new Map(endpoints),
  nodes: new Map(nodes.map((node) => [node.name, node])),
  tiers: new Map(tiers.map((tier) => [tier.name, tier])),
  // JSON has no Infinity: an order that is none is the last.
  policies: new Map(
    policies.map((policy) => [policyName(policy.id), { ...policy, order: policy.order ?? Number.POSITIVE_INFINITY }]),
  ),
});
