import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import { CONFIG_MAPS, type Resource } from "../../../src/store/kubernetes/resource.ts";
import type { ControlPlane } from "../control-plane.ts";

const NAMESPACES: Resource = { group: "", version: "v1", plural: "namespaces", kind: "Namespace" };
const group = "rbac.authorization.k8s.io";
const rules = [
  { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch", "patch"] },
  { apiGroups: [""], resources: ["nodes/status", "pods/status"], verbs: ["patch"] },
  { apiGroups: [""], resources: ["namespaces", "pods"], verbs: ["get", "list", "watch"] },
  { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["get", "list", "watch"] },
  { apiGroups: ["policy.networking.k8s.io"], resources: ["clusternetworkpolicies"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
  { apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list", "watch", "update"] },
];
const namespace = "twill-system";

/**
 * With the object of deploy/twill.yaml by which agents agree: path of a kubeconfig of one user for all agents, as they share a service account. Not an administrator, whom the API
 * server lets through however many requests there are.
 */
export async function agentsKubeconfig(plane: ControlPlane, api: KubernetesClient): Promise<string> {
  const metadata = { name: "agents" };
  const roleRef = { apiGroup: group, kind: "ClusterRole", name: "agents" };
  const subjects = [{ apiGroup: group, kind: "User", name: "twill-agent" }];
  const create = (plural: string, kind: string, rest: object) =>
    api.create({ group, version: "v1", plural, kind }, metadata, {
      apiVersion: `${group}/v1`,
      kind,
      metadata,
      ...rest,
    });
  const shared = { name: "twill-switch", namespace };
  await api.create(
    NAMESPACES,
    { name: namespace },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
  );
  await api.create(CONFIG_MAPS, shared, { apiVersion: "v1", kind: "ConfigMap", metadata: shared });
  await create("clusterroles", "ClusterRole", { rules });
  await create("clusterrolebindings", "ClusterRoleBinding", { roleRef, subjects });
  return plane.certificateKubeconfig("agents", plane.authority.issue("agents", "/CN=twill-agent"));
}
