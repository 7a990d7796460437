import type {
  ClusterNetworkPolicyObject,
  ClusterRule,
  ContainerPort,
  NamespaceObject,
  NetworkPolicyObject,
  NetworkPolicyPeer,
} from "../oracle/objects.ts";
import { namespaceNames, servedPorts } from "./probe.ts";

/** The objects of the matrix as every case finds them, and short ways to write policies. */

/** Labels: `ns: x` for the namespace, `pod: a` for the pod. Pod c has one more. */
export const namespaceObject = (name: string, labels: Readonly<Record<string, string>> = {}): NamespaceObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { ns: name, ...labels } },
});

export const podLabels = (pod: string): Record<string, string> => ({ pod, ...(pod === "c" ? { extra: "yes" } : {}) });

/** serve-80-tcp and so on; and "web", which is 80 by TCP everywhere but on pods b, where it is 81, and on pods c, where it is 80 by UDP. */
export const containerPorts = (pod: string): ContainerPort[] => [
  ...servedPorts.flatMap((port) =>
    (["TCP", "UDP", "SCTP"] as const).map((protocol) => ({
      name: `serve-${port}-${protocol.toLowerCase()}`,
      containerPort: port,
      protocol,
    })),
  ),
  { name: "web", containerPort: pod === "b" ? 81 : 80, protocol: pod === "c" ? "UDP" : "TCP" },
];

export const standardNamespaces = namespaceNames.map((name) => namespaceObject(name));

export const networkPolicy = (
  namespace: string,
  spec: NetworkPolicyObject["spec"],
  name = "policy",
): NetworkPolicyObject => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name, namespace },
  spec,
});

/** Ingress of every pod of the namespace, from these. */
export const ingressFrom = (namespace: string, ...from: NetworkPolicyPeer[]): NetworkPolicyObject =>
  networkPolicy(namespace, { podSelector: {}, ingress: [{ from }] });

export const egressTo = (namespace: string, ...to: NetworkPolicyPeer[]): NetworkPolicyObject =>
  networkPolicy(namespace, { podSelector: {}, policyTypes: ["Egress"], egress: [{ to }] });

type ClusterSpec = ClusterNetworkPolicyObject["spec"];

export const clusterPolicy = (
  tier: ClusterSpec["tier"],
  priority: number,
  spec: Omit<ClusterSpec, "tier" | "priority">,
  name = `${tier.toLowerCase()}-${priority}`,
): ClusterNetworkPolicyObject => ({
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name },
  spec: { tier, priority, ...spec },
});

/** The pods of one namespace. */
export const namespaceIs = (name: string) => ({ matchLabels: { ns: name } });
export const podIs = (name: string) => ({ matchLabels: { pod: name } });

export const inbound = (action: ClusterRule["action"], ...from: NonNullable<ClusterRule["from"]>): ClusterRule => ({
  action,
  from,
});
export const outbound = (action: ClusterRule["action"], ...to: NonNullable<ClusterRule["to"]>): ClusterRule => ({
  action,
  to,
});
