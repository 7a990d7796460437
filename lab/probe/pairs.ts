import type { Family } from "../../src/base/address.ts";
import type { Endpoint, Pair, Relation } from "./result.ts";

/**
 * Every pair that must talk, in the order of the table: within a pod, pod to pod, node to pod, pod to node, pod to
 * outside. Pairs without an address in a family are left out in that family.
 */
export function everyPair(endpoints: readonly Endpoint[], families: readonly Family[]): Pair[] {
  const of = (kind: Endpoint["kind"]) => endpoints.filter((endpoint) => endpoint.kind === kind);
  const pods = of("pod");
  const nodes = of("node");
  const relations: readonly (readonly [Relation, readonly (readonly [Endpoint, Endpoint])[]])[] = [
    ["lo", pods.map((pod) => [pod, pod] as const)],
    ["pod-pod", product(pods, pods).filter(([from, to]) => from !== to)],
    ["node-pod", product(nodes, pods)],
    ["pod-node", product(pods, nodes)],
    ["pod-outside", product(pods, of("outside"))],
  ];
  return families.flatMap((family) =>
    relations.flatMap(([relation, couples]) =>
      couples
        .filter(([from, to]) => from.addresses[family] !== undefined && to.addresses[family] !== undefined)
        .map(([from, to]) => ({ relation, from, to, family })),
    ),
  );
}

const product = (left: readonly Endpoint[], right: readonly Endpoint[]): (readonly [Endpoint, Endpoint])[] =>
  left.flatMap((from) => right.map((to) => [from, to] as const));
