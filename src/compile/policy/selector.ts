import type { EndpointMatch, Labels, Selector, WorkloadEndpoint } from "../../model/policy.ts";

/** Whether labels match. An absent label matches "not-in" and nothing else. */
export function matchesLabels(selector: Selector, labels: Labels): boolean {
  switch (selector.op) {
    case "all":
      return true;
    case "has":
      return labelOf(labels, selector.key) !== undefined;
    case "in":
    case "not-in": {
      const value = labelOf(labels, selector.key);
      return (value !== undefined && selector.values.includes(value)) === (selector.op === "in");
    }
    case "contains":
      return labelOf(labels, selector.key)?.includes(selector.value) ?? false;
    case "starts-with":
      return labelOf(labels, selector.key)?.startsWith(selector.value) ?? false;
    case "ends-with":
      return labelOf(labels, selector.key)?.endsWith(selector.value) ?? false;
    case "not":
      return !matchesLabels(selector.of, labels);
    case "and":
      return selector.of.every((one) => matchesLabels(one, labels));
    case "or":
      return selector.of.some((one) => matchesLabels(one, labels));
  }
}

/** Labels come from outside: "constructor" is a key like any other. */
const labelOf = (labels: Labels, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined;

/** What of an endpoint a match asks for. */
export type Matchable = Pick<WorkloadEndpoint, "namespace" | "labels" | "serviceAccount">;

/** @param namespaceLabels of the endpoint's namespace. */
export function matchesEndpoint(match: EndpointMatch, endpoint: Matchable, namespaceLabels: Labels): boolean {
  return (
    (match.namespace === undefined || match.namespace === endpoint.namespace) &&
    (match.serviceAccounts === undefined ||
      (endpoint.serviceAccount !== undefined && match.serviceAccounts.includes(endpoint.serviceAccount))) &&
    (match.namespaces === undefined || matchesLabels(match.namespaces, namespaceLabels)) &&
    (match.labels === undefined || matchesLabels(match.labels, endpoint.labels))
  );
}
