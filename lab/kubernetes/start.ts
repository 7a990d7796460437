import type { AgentAction } from "../api.ts";
import type { Cluster } from "../cluster.ts";
import type { Progress } from "../control.ts";
import { ensureMountPoint } from "../host-skeleton.ts";
import type { LabNode } from "../node.ts";
import { mountPoints } from "../node-disk.ts";
import { Kubelet, type NodeService } from "./kubelet.ts";
import { type ClusterRanges, type KubernetesParams, linkKubernetesPrograms } from "./settings.ts";

/** Before the first machine is made. */
export function prepareKubernetes(labDirectory: string, { binaries }: KubernetesParams): void {
  for (const path of mountPoints(true)) ensureMountPoint(path);
  linkKubernetesPrograms(labDirectory, binaries);
}

/** The control plane, then kubelets on all machines. They register by themselves. */
export async function startKubernetes(
  cluster: Cluster,
  ranges: ClusterRanges,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const control = await cluster.addControl(ranges);
  await control.start(progress, signal);
  let started = 0;
  const total = cluster.nodes.length;
  progress(`starting kubelets: 0 of ${total}`);
  await Promise.all(
    cluster.nodes.map(async (node) => {
      await startKubelet(cluster, node, signal);
      progress(`starting kubelets: ${++started} of ${total}`);
    }),
  );
}

/** Nothing happens in a lab without Kubernetes. */
export async function startKubelet(cluster: Cluster, node: LabNode, signal: AbortSignal): Promise<void> {
  const { control, settings } = cluster;
  if (control === undefined || settings.kubernetes === undefined) return;
  node.kubelet ??= new Kubelet(node, control);
  await node.kubelet.start(settings.kubernetes.images, signal);
}

/** @throws TwillError `not-found` in a lab without Kubernetes. */
export async function actOnService(
  cluster: Cluster,
  node: LabNode,
  name: NodeService,
  action: AgentAction,
  signal: AbortSignal,
): Promise<void> {
  cluster.requireControl();
  void node.power; // refuses a node that is switched off
  await node.kubelet?.act(name, action, signal);
}
