/** A resource of the Kubernetes API, as its paths name it. */
export interface Resource {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower-case plural: "configmaps". */
  readonly plural: string;
  /** "ConfigMap". */
  readonly kind: string;
}

export const CONFIG_MAPS: Resource = { group: "", version: "v1", plural: "configmaps", kind: "ConfigMap" };
export const SECRETS: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret" };
export const EVENTS: Resource = { group: "", version: "v1", plural: "events", kind: "Event" };
export const PODS: Resource = { group: "", version: "v1", plural: "pods", kind: "Pod" };
export const NODES: Resource = { group: "", version: "v1", plural: "nodes", kind: "Node" };
export const NAMESPACES: Resource = { group: "", version: "v1", plural: "namespaces", kind: "Namespace" };
export const NETWORK_POLICIES: Resource = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  kind: "NetworkPolicy",
};
export const CLUSTER_NETWORK_POLICIES: Resource = {
  group: "policy.networking.k8s.io",
  version: "v1alpha2",
  plural: "clusternetworkpolicies",
  kind: "ClusterNetworkPolicy",
};

/** Where an object is, or a collection of them: no namespace for cluster-wide resources. */
export interface Place {
  readonly namespace?: string;
  readonly name?: string;
  /** "status" */
  readonly subresource?: string;
}

export const apiVersion = ({ group, version }: Resource): string => (group === "" ? version : `${group}/${version}`);

/** The path of an object or a collection. Every part is escaped: names come from outside. */
export function resourcePath(resource: Resource, { namespace, name, subresource }: Place): string {
  const parts = resource.group === "" ? ["api", resource.version] : ["apis", resource.group, resource.version];
  if (namespace !== undefined) parts.push("namespaces", namespace);
  parts.push(resource.plural);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(subresource);
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** For people: "configmaps/twill-system/nodes.a". */
export const describePlace = (resource: Resource, { namespace, name, subresource }: Place): string =>
  [resource.plural, namespace, name, subresource].filter((part) => part !== undefined).join("/");
