import { nodeLeases } from "../src/intent/flannel/node-annotations.ts";
import type { KubernetesOptions } from "../src/store/kubernetes/datastore.ts";
import { inNodes, type NodeObserver } from "../src/store/kubernetes/node-kind.ts";
import { NODES } from "./kinds.ts";

/** Where kinds lie in the Kubernetes API that have a place of their own there: leases are Flannel's annotations of Nodes. */
export const datastoreKinds = (observer?: NodeObserver): NonNullable<KubernetesOptions["kinds"]> => ({
  [NODES]: inNodes(nodeLeases, observer),
});
