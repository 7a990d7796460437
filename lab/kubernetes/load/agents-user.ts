import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { ControlPlane } from "../control-plane.ts";

const group = "rbac.authorization.k8s.io";
const rules = [
  { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch", "patch"] },
  { apiGroups: [""], resources: ["nodes/status", "pods/status"], verbs: ["patch"] },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
];

/**
 * Path of a kubeconfig of one user for all agents, as they share a service account. Not an administrator, whom the API
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
  await create("clusterroles", "ClusterRole", { rules });
  await create("clusterrolebindings", "ClusterRoleBinding", { roleRef, subjects });
  return plane.certificateKubeconfig("agents", plane.authority.issue("agents", "/CN=twill-agent"));
}
