/** Kinds and names of the datastore's objects that more than one program uses. */

/** One a node: what the others must know to reach it. */
export const NODES = "nodes";
export const CONFIG = "config";
/** Of kind CONFIG: net-conf.json as it was written. */
export const NETWORK = "network";
/** What the cluster goes to (docs/design/live-switch.md): one object, changed by compare-and-swap. */
export const SWITCH = "switch";
export const TARGET = "target";
/** What all agents share and nobody else: one object, the key by which they measure each other. */
export const SECRETS = "secrets";
export const PEER_KEY = "peer-key";

/** Objects of Kubernetes' own API, as JSON: in a cluster the API server's, elsewhere as `twill apply` wrote them. */
export const NAMESPACES = "namespaces";
export const PODS = "pods";
export const NETWORK_POLICIES = "networkpolicies";
export const CLUSTER_NETWORK_POLICIES = "clusternetworkpolicies";

/** Under which an object of a namespace is stored: a namespace's own name has no dot (RFC 1123 label). */
export const objectName = (namespace: string, name: string): string => `${namespace}.${name}`;
