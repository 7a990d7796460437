import type { Address } from "../../../src/base/address.ts";
import type { ConformanceCase, Step } from "../case.ts";
import { type Answer, allPods, type Probe } from "../probe.ts";
import { clusterPolicy, inbound, ingressFrom, networkPolicy, outbound } from "../standard.ts";

/** What is there besides the matrix: nodes by name, whose pods they run, and a machine that is no part of the cluster. */
export interface Surroundings {
  readonly nodeOf: (pod: string) => string;
  readonly nodes: readonly string[];
  readonly addressesOf: (party: string) => readonly Address[];
}

type Expectation = Probe & { readonly expected: Answer };

const probe = (from: string, to: string, expected: Answer, port = 80): Expectation => ({
  from,
  to,
  protocol: "TCP",
  port,
  family: 4,
  expected,
});

const host = (addresses: readonly Address[]): string => `${addresses.find((address) => !address.includes(":"))}/32`;
const closed = networkPolicy("x", { podSelector: {}, policyTypes: ["Ingress", "Egress"] });
const outOfX: Step["allows"] = ({ source, destination }) => source.namespace !== "x" && destination.namespace !== "x";
const intoX: Step["allows"] = ({ destination }) => destination.namespace !== "x";
const inX = allPods.filter((pod) => pod.startsWith("x/"));

/** Nodes, the outside, and ports that nobody serves. */
export function furtherCases({ nodeOf, nodes, addressesOf }: Surroundings): readonly ConformanceCase[] {
  const fromNodes = (expected: (pod: string, node: string) => Answer): Expectation[] =>
    inX.flatMap((pod) => nodes.map((node) => probe(node, pod, expected(pod, node))));
  const ownNodeOnly = fromNodes((pod, node) => (nodeOf(pod) === node ? "connected" : "timed out"));
  const [node = ""] = nodes;
  return [
    {
      name: "without policy: nodes and the outside reach pods and are reached; a port that nobody serves refuses",
      steps: [
        {
          allows: () => true,
          further: [
            ...fromNodes(() => "connected"),
            ...inX.map((pod) => probe("outside", pod, "connected")),
            ...inX.map((pod) => probe("y/a", pod, "refused", 82)),
            ...inX.flatMap((pod) => [...nodes, "outside"].map((party) => probe(pod, party, "refused"))),
          ],
        },
      ],
    },
    {
      name: "a pod's own node always reaches it, and is reached; other nodes, though they have addresses of the same kind, do not",
      steps: [
        {
          apply: [closed],
          allows: outOfX,
          further: [
            ...ownNodeOnly,
            ...inX.flatMap((pod) => nodes.map((one) => probe(pod, one, nodeOf(pod) === one ? "refused" : "timed out"))),
            ...inX.map((pod) => probe("outside", pod, "timed out")),
            ...inX.map((pod) => probe("y/a", pod, "timed out", 82)),
          ],
        },
      ],
    },
    {
      name: "all pods as peer: no node and no outside",
      steps: [
        {
          apply: [ingressFrom("x", { namespaceSelector: {} })],
          allows: () => true,
          further: [...ownNodeOnly, ...inX.map((pod) => probe("outside", pod, "timed out"))],
        },
      ],
    },
    {
      name: "a node by its address",
      steps: [
        {
          apply: [ingressFrom("x", { ipBlock: { cidr: host(addressesOf(node)) } })],
          allows: intoX,
          further: fromNodes((pod, from) => (from === node || nodeOf(pod) === from ? "connected" : "timed out")),
        },
      ],
    },
    {
      name: "the outside by its address",
      steps: [
        {
          apply: [ingressFrom("x", { ipBlock: { cidr: host(addressesOf("outside")) } })],
          allows: intoX,
          further: inX.map((pod) => probe("outside", pod, "connected")),
        },
      ],
    },
    {
      name: "ClusterNetworkPolicy: nodes as destinations, by their labels; the own node is no exception",
      steps: [
        {
          apply: [
            clusterPolicy("Admin", 1, {
              subject: { namespaces: { matchLabels: { ns: "x" } } },
              egress: [outbound("Deny", { nodes: { matchLabels: { "kubernetes.io/hostname": node } } })],
            }),
          ],
          allows: () => true,
          further: [
            ...inX.flatMap((pod) => nodes.map((one) => probe(pod, one, one === node ? "timed out" : "refused"))),
            ...fromNodes(() => "connected"),
          ],
        },
      ],
    },
    {
      name: "ClusterNetworkPolicy: all nodes, and accepted where a NetworkPolicy denies",
      steps: [
        {
          apply: [
            closed,
            clusterPolicy("Admin", 1, {
              subject: { namespaces: { matchLabels: { ns: "x" } } },
              egress: [outbound("Accept", { nodes: {} })],
            }),
          ],
          allows: outOfX,
          further: inX.flatMap((pod) => nodes.map((one) => probe(pod, one, "refused"))),
        },
      ],
    },
    {
      name: "ClusterNetworkPolicy: a Deny of all pods leaves the node and the outside alone",
      steps: [
        {
          apply: [
            clusterPolicy("Admin", 1, {
              subject: { namespaces: { matchLabels: { ns: "x" } } },
              ingress: [inbound("Deny", { namespaces: {} })],
            }),
          ],
          allows: intoX,
          further: [...fromNodes(() => "connected"), ...inX.map((pod) => probe("outside", pod, "connected"))],
        },
      ],
    },
    {
      name: "an unknown peer that denies all leaves the own node its probes",
      steps: [
        {
          apply: [
            clusterPolicy("Admin", 1, {
              subject: { namespaces: { matchLabels: { ns: "x" } } },
              ingress: [inbound("Deny", { unheardOf: {} })],
            }),
          ],
          allows: intoX,
          further: [...ownNodeOnly, ...inX.map((pod) => probe("outside", pod, "timed out"))],
        },
      ],
    },
    {
      name: "ClusterNetworkPolicy: the outside by its network",
      steps: [
        {
          apply: [
            clusterPolicy("Baseline", 1, {
              subject: { namespaces: { matchLabels: { ns: "x" } } },
              egress: [outbound("Deny", { networks: [host(addressesOf("outside"))] })],
            }),
          ],
          allows: () => true,
          further: [
            ...inX.map((pod) => probe(pod, "outside", "timed out")),
            ...["y/a", "z/c"].map((pod) => probe(pod, "outside", "refused")),
          ],
        },
      ],
    },
  ];
}
