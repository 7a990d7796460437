import type { LabelExpression, LabelSelector } from "./objects.ts";

export type LabelMap = Readonly<Record<string, string>>;

/**
 * metav1.LabelSelector: "A label selector is a label query over a set of resources. The result of matchLabels and matchExpressions are
 * ANDed. An empty label selector matches all objects."
 */
export function selects(selector: LabelSelector, labels: LabelMap): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (!has(labels, key) || labels[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every((expression) => holds(expression, labels));
}

/** Concepts, Labels and Selectors: what each operator says of an object that has the key and of one that has not. */
function holds({ key, operator, values = [] }: LabelExpression, labels: LabelMap): boolean {
  const value = has(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    // "environment notin (…)": "selects all resources with key … not in the values and all resources with no labels with the key".
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

const has = (labels: LabelMap, key: string): boolean => Object.hasOwn(labels, key);

/**
 * "The Kubernetes control plane sets an immutable label kubernetes.io/metadata.name on all namespaces. The value of the label is
 * the namespace name."
 */
export const namespaceLabels = (name: string, labels: LabelMap = {}): LabelMap => ({
  ...labels,
  "kubernetes.io/metadata.name": name,
});
