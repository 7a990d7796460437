import { nodeLeases } from "../src/intent/flannel/node-annotations.ts";
import { DEFAULT_NAMESPACE, type KubernetesOptions } from "../src/store/kubernetes/datastore.ts";
import { inNodes, type NodeObserver } from "../src/store/kubernetes/node-kind.ts";
import { inConfigMapKey, inSecretKey } from "../src/store/kubernetes/object-key-kind.ts";
import { NODES, PEER_KEY, SECRETS, SWITCH, TARGET } from "./kinds.ts";

/**
 * Where kinds lie in the Kubernetes API that have a place of their own there: leases are Flannel's annotations of Nodes,
 * and what agents share is a Secret and a ConfigMap of the manifest's, so that they need to create none.
 */
export const datastoreKinds = (observer?: NodeObserver): NonNullable<KubernetesOptions["kinds"]> => ({
  [NODES]: inNodes(nodeLeases, observer),
  [SWITCH]: inConfigMapKey(TARGET, { namespace: DEFAULT_NAMESPACE, name: "twill-switch", key: TARGET }),
  [SECRETS]: inSecretKey(PEER_KEY, { namespace: DEFAULT_NAMESPACE, name: "twill-peers", key: PEER_KEY }),
});
