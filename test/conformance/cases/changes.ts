import type { ConformanceCase, MatrixCell, Step } from "../case.ts";
import {
  clusterPolicy,
  inbound,
  ingressFrom,
  namespaceIs,
  namespaceObject,
  networkPolicy,
  podIs,
  podLabels,
} from "../standard.ts";

const toX = ({ destination }: MatrixCell): boolean => destination.namespace === "x";
const free: Step["allows"] = () => true;

/** Enforcement follows what changes. */
export const changeCases: readonly ConformanceCase[] = [
  {
    name: "a policy that goes leaves nothing behind",
    steps: [
      { apply: [networkPolicy("x", { podSelector: {} })], allows: (cell) => !toX(cell) },
      { remove: [networkPolicy("x", { podSelector: {} })], allows: free },
    ],
  },
  {
    name: "a policy that is rewritten counts as it is now",
    steps: [
      {
        apply: [ingressFrom("x", { namespaceSelector: namespaceIs("y") })],
        allows: (cell) => !toX(cell) || cell.source.namespace === "y",
      },
      {
        apply: [ingressFrom("x", { namespaceSelector: namespaceIs("z") })],
        allows: (cell) => !toX(cell) || cell.source.namespace === "z",
      },
      {
        apply: [networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"], egress: [{ ports: [{ port: 80 }] }] })],
        allows: ({ source, protocol, port }) => source.namespace !== "x" || (protocol === "TCP" && port === 80),
      },
    ],
  },
  {
    name: "of two policies one goes: the other still counts",
    steps: [
      {
        apply: [
          networkPolicy("x", { podSelector: {} }, "deny"),
          networkPolicy("x", { podSelector: podIs("a"), ingress: [{}] }, "a-open"),
        ],
        allows: (cell) => !toX(cell) || cell.to === "x/a",
      },
      { remove: [networkPolicy("x", {}, "deny")], allows: free },
    ],
  },
  {
    name: "a pod gets the label that a peer asks for, and loses it",
    steps: [
      {
        apply: [ingressFrom("x", { podSelector: { matchLabels: { friend: "yes" } }, namespaceSelector: {} })],
        allows: (cell) => !toX(cell),
      },
      { relabel: { "y/b": { ...podLabels("b"), friend: "yes" } }, allows: (cell) => !toX(cell) || cell.from === "y/b" },
      { relabel: { "y/b": podLabels("b") }, allows: (cell) => !toX(cell) },
    ],
  },
  {
    name: "a pod gets the label that selects it, and loses it",
    steps: [
      { apply: [networkPolicy("x", { podSelector: { matchLabels: { closed: "yes" } } })], allows: free },
      { relabel: { "x/b": { ...podLabels("b"), closed: "yes" } }, allows: ({ to }) => to !== "x/b" },
      { relabel: { "x/b": podLabels("b") }, allows: free },
    ],
  },
  {
    name: "a namespace gets the label that a peer asks for, and loses it",
    steps: [
      {
        apply: [ingressFrom("x", { namespaceSelector: { matchLabels: { friend: "yes" } } })],
        allows: (cell) => !toX(cell),
      },
      {
        apply: [namespaceObject("y", { friend: "yes" })],
        allows: (cell) => !toX(cell) || cell.source.namespace === "y",
      },
      { apply: [namespaceObject("y")], allows: (cell) => !toX(cell) },
    ],
  },
  {
    name: "a namespace's labels decide who is a ClusterNetworkPolicy's subject",
    steps: [
      {
        apply: [
          clusterPolicy("Admin", 1, {
            subject: { namespaces: { matchLabels: { closed: "yes" } } },
            ingress: [inbound("Deny", { namespaces: {} })],
          }),
        ],
        allows: free,
      },
      { apply: [namespaceObject("z", { closed: "yes" })], allows: ({ destination }) => destination.namespace !== "z" },
      { apply: [namespaceObject("z")], allows: free },
    ],
  },
  {
    name: "a ClusterNetworkPolicy changes its priority, then its tier",
    steps: [
      {
        apply: [
          clusterPolicy(
            "Admin",
            5,
            { subject: { namespaces: namespaceIs("x") }, ingress: [inbound("Accept", { namespaces: {} })] },
            "accept",
          ),
          clusterPolicy(
            "Admin",
            6,
            { subject: { namespaces: namespaceIs("x") }, ingress: [inbound("Deny", { namespaces: {} })] },
            "deny",
          ),
        ],
        allows: free,
      },
      {
        apply: [
          clusterPolicy(
            "Admin",
            4,
            { subject: { namespaces: namespaceIs("x") }, ingress: [inbound("Deny", { namespaces: {} })] },
            "deny",
          ),
        ],
        allows: (cell) => !toX(cell),
      },
      {
        apply: [
          clusterPolicy(
            "Baseline",
            4,
            { subject: { namespaces: namespaceIs("x") }, ingress: [inbound("Deny", { namespaces: {} })] },
            "deny",
          ),
        ],
        allows: free,
      },
    ],
  },
];
