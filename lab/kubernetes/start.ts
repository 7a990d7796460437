import { TwillError } from "../../src/base/errors.ts";
import type { Cluster } from "../cluster.ts";
import type { Progress } from "../control.ts";
import { ensureMountPoint } from "../host-skeleton.ts";
import type { LabNode } from "../node.ts";
import { mountPoints } from "../node-disk.ts";
import { Kubelet } from "./kubelet.ts";
import { type ClusterRanges, type KubernetesParams, linkKubernetesPrograms } from "./settings.ts";

/** On a busy machine; alone it takes 5 s. */
const nodesReadyWithin = 120_000;

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

/** @throws TwillError `unavailable` naming the nodes that are not Ready in time. */
export async function awaitReadyNodes(cluster: Cluster, progress: Progress, signal: AbortSignal): Promise<void> {
  const { control } = cluster;
  if (control === undefined) return;
  const deadline = performance.now() + nodesReadyWithin;
  for (;;) {
    const known = await control.client.nodes();
    const waiting = cluster.nodes.map(({ plan }) => plan.name).filter((name) => known.get(name) !== true);
    if (waiting.length === 0) return;
    progress(`waiting for nodes to be Ready: ${cluster.nodes.length - waiting.length} of ${cluster.nodes.length}`);
    signal.throwIfAborted();
    if (performance.now() > deadline)
      throw new TwillError("unavailable", `not Ready after ${nodesReadyWithin / 1000} s: ${waiting.join(", ")}`, {
        operation: "start Kubernetes",
        remedy: `look into nodes/${waiting[0]}/kubelet.log of the lab's directory`,
      });
    await Bun.sleep(200);
  }
}
