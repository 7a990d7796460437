/**
 * Kubernetes objects as people write them and the API server returns them: only the fields that policy depends on. Nothing here is
 * Twill's; the oracle must not share a mistake with what it judges.
 */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelExpression[];
}

export interface LabelExpression {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values?: readonly string[];
}

export interface NamespaceObject {
  readonly apiVersion: "v1";
  readonly kind: "Namespace";
  readonly metadata: Metadata;
}

export interface NodeObject {
  readonly apiVersion: "v1";
  readonly kind: "Node";
  readonly metadata: Metadata;
  readonly spec?: { readonly podCIDRs?: readonly string[] };
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  /** Absent: TCP. */
  readonly protocol?: PortProtocol;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly ports?: readonly ContainerPort[];
  /** Of an init container: "Always" makes it a sidecar, which runs as long as the pod. */
  readonly restartPolicy?: string;
}

export interface PodObject {
  readonly apiVersion: "v1";
  readonly kind: "Pod";
  readonly metadata: Metadata & { readonly namespace: string };
  readonly spec: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly serviceAccountName?: string;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status: {
    readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
  };
}

export type PortProtocol = "TCP" | "UDP" | "SCTP";

export interface NetworkPolicyPort {
  readonly protocol?: PortProtocol;
  readonly port?: number | string;
  readonly endPort?: number;
}

export interface NetworkPolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface NetworkPolicyObject {
  readonly apiVersion: "networking.k8s.io/v1";
  readonly kind: "NetworkPolicy";
  readonly metadata: Metadata & { readonly namespace: string };
  readonly spec: {
    readonly podSelector?: LabelSelector;
    readonly policyTypes?: readonly ("Ingress" | "Egress")[];
    readonly ingress?: readonly {
      readonly from?: readonly NetworkPolicyPeer[];
      readonly ports?: readonly NetworkPolicyPort[];
    }[];
    readonly egress?: readonly {
      readonly to?: readonly NetworkPolicyPeer[];
      readonly ports?: readonly NetworkPolicyPort[];
    }[];
  };
}

export interface NamespacedPod {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
}

/** Exactly one field, whose name an older program need not know. */
export interface ClusterPeer {
  readonly namespaces?: LabelSelector;
  readonly pods?: NamespacedPod;
  /** Egress only. */
  readonly nodes?: LabelSelector;
  /** Egress only. */
  readonly networks?: readonly string[];
  /** Egress only. */
  readonly domainNames?: readonly string[];
  /** A field of a later version. */
  readonly unheardOf?: unknown;
}

export interface ClusterPort {
  readonly number?: number;
  readonly range?: { readonly start: number; readonly end: number };
}

export interface ClusterProtocol {
  readonly tcp?: { readonly destinationPort?: ClusterPort };
  readonly udp?: { readonly destinationPort?: ClusterPort };
  readonly sctp?: { readonly destinationPort?: ClusterPort };
  readonly destinationNamedPort?: string;
}

export interface ClusterRule {
  readonly name?: string;
  readonly action: "Accept" | "Deny" | "Pass";
  readonly from?: readonly ClusterPeer[];
  readonly to?: readonly ClusterPeer[];
  readonly protocols?: readonly ClusterProtocol[];
}

export interface ClusterNetworkPolicyObject {
  readonly apiVersion: "policy.networking.k8s.io/v1alpha2";
  readonly kind: "ClusterNetworkPolicy";
  readonly metadata: Metadata;
  readonly spec: {
    readonly tier: "Admin" | "Baseline";
    readonly priority: number;
    readonly subject: { readonly namespaces?: LabelSelector; readonly pods?: NamespacedPod };
    readonly ingress?: readonly ClusterRule[];
    readonly egress?: readonly ClusterRule[];
  };
}

export type PolicyObject = NetworkPolicyObject | ClusterNetworkPolicyObject;
export type KubernetesObject = NamespaceObject | NodeObject | PodObject | PolicyObject;

export interface ClusterObjects {
  readonly namespaces: readonly NamespaceObject[];
  readonly nodes: readonly NodeObject[];
  readonly pods: readonly PodObject[];
  readonly policies: readonly PolicyObject[];
}

/** Every object of a kind that policy looks at, in the order in which one would apply them. */
export const allObjects = (cluster: ClusterObjects): KubernetesObject[] => [
  ...cluster.namespaces,
  ...cluster.nodes,
  ...cluster.pods,
  ...cluster.policies,
];

export const nameOf = ({ kind, metadata }: KubernetesObject): string =>
  `${kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;
