import type { ConformanceCase } from "../case.ts";
import { oneStep } from "../case.ts";
import { egressTo, ingressFrom, namespaceIs, networkPolicy, podIs } from "../standard.ts";

/** policyTypes, several policies together, and both ends. */
export const directionCases: readonly ConformanceCase[] = [
  oneStep(
    "without policyTypes, egress rules isolate for both directions",
    [networkPolicy("x", { podSelector: {}, egress: [{ to: [{ namespaceSelector: namespaceIs("y") }] }] })],
    ({ source, destination }) =>
      destination.namespace !== "x" && (source.namespace !== "x" || destination.namespace === "y"),
  ),
  oneStep(
    "without policyTypes, an empty list of egress rules isolates for ingress only",
    [networkPolicy("x", { podSelector: {}, egress: [] })],
    ({ destination }) => destination.namespace !== "x",
  ),
  oneStep(
    "an empty list of policyTypes is as none",
    [networkPolicy("x", { podSelector: {}, policyTypes: [] })],
    ({ destination }) => destination.namespace !== "x",
  ),
  oneStep(
    "policyTypes Egress: ingress rules are not looked at, and ingress is free",
    [networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"], ingress: [], egress: [{}] })],
    () => true,
  ),
  oneStep(
    "policyTypes Ingress: egress rules are not looked at",
    [
      networkPolicy("x", {
        podSelector: {},
        policyTypes: ["Ingress"],
        ingress: [{}],
        egress: [{ ports: [{ port: 1 }] }],
      }),
    ],
    () => true,
  ),
  oneStep(
    "policies add up",
    [
      networkPolicy("x", { podSelector: {} }, "nobody"),
      networkPolicy(
        "x",
        { podSelector: podIs("a"), ingress: [{ from: [{ namespaceSelector: namespaceIs("y") }] }] },
        "a-from-y",
      ),
      networkPolicy("x", { podSelector: {}, ingress: [{ ports: [{ port: 81 }] }] }, "port-81"),
    ],
    ({ to, source, destination, protocol, port }) =>
      destination.namespace !== "x" ||
      (to === "x/a" && source.namespace === "y") ||
      (protocol === "TCP" && port === 81),
  ),
  oneStep(
    "allow all beside deny all: allowed",
    [networkPolicy("x", { podSelector: {} }, "deny"), networkPolicy("x", { podSelector: {}, ingress: [{}] }, "allow")],
    () => true,
  ),
  oneStep(
    "both ends must allow",
    [
      egressTo("x", { namespaceSelector: namespaceIs("y") }),
      ingressFrom("y", { podSelector: {} }, { podSelector: podIs("a"), namespaceSelector: namespaceIs("x") }),
    ],
    ({ from, source, destination }) =>
      (source.namespace !== "x" || destination.namespace === "y") &&
      (destination.namespace !== "y" || source.namespace === "y" || from === "x/a"),
  ),
  oneStep(
    "what the destination allows does not help a source that may not send",
    [
      networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"] }),
      networkPolicy("y", { podSelector: {}, ingress: [{}] }),
    ],
    ({ source }) => source.namespace !== "x",
  ),
  oneStep(
    "everyone in every namespace denied: only a pod to itself is left",
    ["x", "y", "z"].map((namespace) =>
      networkPolicy(namespace, { podSelector: {}, policyTypes: ["Ingress", "Egress"] }),
    ),
    () => false,
  ),
  oneStep(
    "default deny, then one port from one role",
    [
      networkPolicy("x", { podSelector: {}, policyTypes: ["Ingress", "Egress"] }, "deny"),
      networkPolicy(
        "x",
        {
          podSelector: podIs("a"),
          policyTypes: ["Ingress"],
          ingress: [{ from: [{ podSelector: podIs("b") }], ports: [{ port: 80 }] }],
        },
        "in",
      ),
      networkPolicy(
        "x",
        { podSelector: podIs("b"), policyTypes: ["Egress"], egress: [{ to: [{ podSelector: podIs("a") }] }] },
        "out",
      ),
    ],
    ({ from, to, source, destination, protocol, port }) =>
      (source.namespace !== "x" && destination.namespace !== "x") ||
      (from === "x/b" && to === "x/a" && protocol === "TCP" && port === 80),
  ),
];
