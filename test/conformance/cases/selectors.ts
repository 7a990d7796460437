import type { ConformanceCase } from "../case.ts";
import { oneStep } from "../case.ts";
import { egressTo, ingressFrom, namespaceIs, networkPolicy, podIs } from "../standard.ts";

/** Whom a NetworkPolicy selects, and whom its peers are. */
export const selectorCases: readonly ConformanceCase[] = [
  oneStep("no policy: everything is allowed", [], () => true),
  oneStep(
    "a policy without rules isolates for ingress, and only in its namespace",
    [networkPolicy("x", { podSelector: {} })],
    ({ destination }) => destination.namespace !== "x",
  ),
  oneStep(
    "without a podSelector it is every pod of the namespace",
    [networkPolicy("x", {})],
    ({ destination }) => destination.namespace !== "x",
  ),
  oneStep(
    "egress isolates what a pod sends, not what it receives",
    [networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"] })],
    ({ source }) => source.namespace !== "x",
  ),
  oneStep(
    "both directions",
    [networkPolicy("x", { podSelector: {}, policyTypes: ["Ingress", "Egress"] })],
    ({ source, destination }) => source.namespace !== "x" && destination.namespace !== "x",
  ),
  oneStep(
    "only selected pods are isolated",
    [networkPolicy("x", { podSelector: podIs("a") })],
    ({ to }) => to !== "x/a",
  ),
  oneStep(
    "a rule without anything in it allows everyone, all protocols and ports",
    [networkPolicy("x", { podSelector: {}, ingress: [{}] })],
    () => true,
  ),
  oneStep(
    "an empty list of peers is everyone",
    [networkPolicy("x", { podSelector: {}, ingress: [{ from: [], ports: [{ port: 80 }] }] })],
    ({ destination, protocol, port }) => destination.namespace !== "x" || (protocol === "TCP" && port === 80),
  ),
  oneStep(
    "podSelector alone: pods of the policy's own namespace only",
    [ingressFrom("x", { podSelector: podIs("b") })],
    ({ from, destination }) => destination.namespace !== "x" || from === "x/b",
  ),
  oneStep(
    "an empty podSelector as peer: the whole own namespace, and no other",
    [ingressFrom("x", { podSelector: {} })],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "x",
  ),
  oneStep(
    "namespaceSelector alone: every pod of those namespaces",
    [ingressFrom("x", { namespaceSelector: namespaceIs("y") })],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "y",
  ),
  oneStep(
    "an empty namespaceSelector: every pod of the cluster",
    [ingressFrom("x", { namespaceSelector: {} })],
    () => true,
  ),
  oneStep(
    "a selector that matches no namespace",
    [ingressFrom("x", { namespaceSelector: namespaceIs("nowhere") })],
    ({ destination }) => destination.namespace !== "x",
  ),
  oneStep(
    "both selectors in one peer: both must match",
    [ingressFrom("x", { namespaceSelector: namespaceIs("y"), podSelector: podIs("a") })],
    ({ from, destination }) => destination.namespace !== "x" || from === "y/a",
  ),
  oneStep(
    "two peers: either may match",
    [ingressFrom("x", { namespaceSelector: namespaceIs("y") }, { podSelector: podIs("a") })],
    ({ from, source, destination }) => destination.namespace !== "x" || source.namespace === "y" || from === "x/a",
  ),
  oneStep(
    "two rules: either may match",
    [
      networkPolicy("x", {
        podSelector: {},
        ingress: [{ from: [{ podSelector: podIs("c") }] }, { from: [{ namespaceSelector: namespaceIs("z") }] }],
      }),
    ],
    ({ from, source, destination }) => destination.namespace !== "x" || from === "x/c" || source.namespace === "z",
  ),
  oneStep(
    "operator In",
    [
      ingressFrom("x", {
        namespaceSelector: {},
        podSelector: { matchExpressions: [{ key: "pod", operator: "In", values: ["a", "b"] }] },
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.pod !== "c",
  ),
  oneStep(
    "operator NotIn matches where the label is absent, too",
    [
      ingressFrom("x", {
        namespaceSelector: {},
        podSelector: { matchExpressions: [{ key: "extra", operator: "NotIn", values: ["yes"] }] },
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.pod !== "c",
  ),
  oneStep(
    "operator Exists",
    [
      ingressFrom("x", {
        namespaceSelector: {},
        podSelector: { matchExpressions: [{ key: "extra", operator: "Exists" }] },
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.pod === "c",
  ),
  oneStep(
    "operator DoesNotExist",
    [
      ingressFrom("x", {
        namespaceSelector: {},
        podSelector: { matchExpressions: [{ key: "extra", operator: "DoesNotExist" }] },
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || source.pod !== "c",
  ),
  oneStep(
    "expressions and labels of one selector must all hold",
    [
      ingressFrom("x", {
        namespaceSelector: { matchExpressions: [{ key: "ns", operator: "NotIn", values: ["x"] }] },
        podSelector: { matchLabels: { pod: "c" }, matchExpressions: [{ key: "extra", operator: "Exists" }] },
      }),
    ],
    ({ source, destination }) => destination.namespace !== "x" || (source.namespace !== "x" && source.pod === "c"),
  ),
  oneStep(
    "a namespace by its name, through the label that every namespace has",
    [ingressFrom("x", { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "z" } } })],
    ({ source, destination }) => destination.namespace !== "x" || source.namespace === "z",
  ),
  oneStep(
    "egress to pods and namespaces",
    [egressTo("x", { namespaceSelector: namespaceIs("y"), podSelector: podIs("b") }, { podSelector: {} })],
    ({ to, source, destination }) => source.namespace !== "x" || to === "y/b" || destination.namespace === "x",
  ),
  oneStep(
    "subject by expression",
    [networkPolicy("x", { podSelector: { matchExpressions: [{ key: "pod", operator: "NotIn", values: ["a"] }] } })],
    ({ to, destination }) => destination.namespace !== "x" || to === "x/a",
  ),
];
