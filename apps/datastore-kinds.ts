import { nodeLeases } from "../src/intent/flannel/node-annotations.ts";
import { DEFAULT_NAMESPACE, type KubernetesOptions } from "../src/store/kubernetes/datastore.ts";
import { inNodes, type NodeObserver } from "../src/store/kubernetes/node-kind.ts";
import { inConfigMapKey, inSecretKey } from "../src/store/kubernetes/object-key-kind.ts";
import * as resources from "../src/store/kubernetes/resource.ts";
import { inResource } from "../src/store/kubernetes/resource-kind.ts";
import {
  CLUSTER_NETWORK_POLICIES,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PEER_KEY,
  PODS,
  SECRETS,
  SWITCH,
  TARGET,
} from "./kinds.ts";
import { reduceObject, reducePod } from "./reduced-objects.ts";

/**
 * Where kinds lie in the Kubernetes API that have a place of their own there: leases are Flannel's annotations of Nodes,
 * and what agents share is a Secret and a ConfigMap of the manifest's, so that they need to create none.
 */
export const datastoreKinds = (observer?: NodeObserver): NonNullable<KubernetesOptions["kinds"]> => ({
  [NODES]: inNodes(nodeLeases, observer),
  [SWITCH]: inConfigMapKey(TARGET, { namespace: DEFAULT_NAMESPACE, name: "twill-switch", key: TARGET }),
  [NAMESPACES]: inResource(resources.NAMESPACES, { namespaced: false, reduce: reduceObject }),
  [PODS]: inResource(resources.PODS, {
    namespaced: true,
    selection: { fieldSelector: "spec.hostNetwork=false,status.phase!=Succeeded,status.phase!=Failed" },
    reduce: reducePod,
  }),
  [NETWORK_POLICIES]: inResource(resources.NETWORK_POLICIES, { namespaced: true, reduce: reduceObject }),
  [CLUSTER_NETWORK_POLICIES]: inResource(resources.CLUSTER_NETWORK_POLICIES, {
    namespaced: false,
    optional: true,
    reduce: reduceObject,
  }),
  [SECRETS]: inSecretKey(PEER_KEY, { namespace: DEFAULT_NAMESPACE, name: "twill-peers", key: PEER_KEY }),
});
