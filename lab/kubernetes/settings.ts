import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { overlaps, type Prefix, parsePrefix } from "../../src/base/prefix.ts";
import type { ClusterNetwork, NetworkRange } from "../../src/model/network.ts";

/** What makes a lab one of Kubernetes: said by whoever asks for it (api.ts), and part of the settings of all nodes. */
export interface KubernetesParams {
  /** Folder of etcd, kube-apiserver, kubelet, containerd… (binaries.ts). */
  readonly binaries: string;
  /** Image archives that every node has from the start. */
  readonly images: readonly string[];
  /** Twill's deploy/twill.yaml. */
  readonly manifest: string;
}

export const kubernetesDirectory = (labDirectory: string): string => join(labDirectory, "kubernetes");
export const adminKubeconfig = (labDirectory: string): string =>
  join(kubernetesDirectory(labDirectory), "admin.kubeconfig");

/** In PATH of everything that runs in the lab. */
export const programFolder = (labDirectory: string): string => join(kubernetesDirectory(labDirectory), "bin");

export function linkKubernetesPrograms(labDirectory: string, binaries: string): void {
  const folder = programFolder(labDirectory);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(binaries).filter((entry) => !entry.includes(".")))
    if (!existsSync(join(folder, name))) symlinkSync(join(binaries, name), join(folder, name));
}

/** The networks that the control plane is told about. */
export interface ClusterRanges {
  readonly pods: readonly NetworkRange[];
  readonly services: readonly Prefix[];
}

const serviceRanges = {
  4: ["10.96.0.0/16", "172.20.0.0/16", "10.43.0.0/16"],
  6: ["fd00:10:96::/112", "fd00:10:97::/112"],
} as const;

/** Services get the first range that is not in the way of the pods. */
export function clusterRanges(network: ClusterNetwork): ClusterRanges {
  const pods = [network.ipv4, network.ipv6].filter((range) => range !== undefined);
  const services = ([4, 6] as const).flatMap((family) => {
    if (network[`ipv${family}`] === undefined) return [];
    const free = serviceRanges[family].map((text) => parsePrefix(text));
    return free.filter((range) => !pods.some((pod) => overlaps(range, pod.network))).slice(0, 1);
  });
  return { pods, services };
}
