import type { Address } from "../../src/base/address.ts";
import type { KeyPair } from "./certificates.ts";
import { runtimeSocket } from "./containerd-config.ts";

/** Kubelet runs the pods of the manifests in there without being asked by an API server. */
export const staticPodPath = "/var/lib/kubelet/manifests";

export interface KubeletOptions {
  /** Below the root of each cgroup hierarchy. */
  readonly cgroup: string;
  /** PEM file: who may call this kubelet. */
  readonly clientAuthority: string;
  readonly serving: KeyPair;
  readonly dns: readonly Address[];
}

/** Several kubelets on one machine that is not theirs: they manage no machine-wide resources. kubelet.config.k8s.io/v1beta1. */
export const kubeletConfig = (options: KubeletOptions): Record<string, unknown> => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: options.clientAuthority },
  },
  authorization: { mode: "Webhook" },
  tlsCertFile: options.serving.certificate,
  tlsPrivateKeyFile: options.serving.key,
  cgroupDriver: "cgroupfs",
  cgroupRoot: `/${options.cgroup}`,
  // The machine's memory and processors are shared by all nodes: no node may limit itself to them.
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  // Would set kernel parameters of the whole machine; node-disk.ts shows it those that it wants.
  protectKernelDefaults: true,
  containerRuntimeEndpoint: `unix://${runtimeSocket}`,
  clusterDNS: options.dns,
  clusterDomain: "cluster.local",
  // The disk is the machine's, and its fill level no node's business.
  evictionHard: { "nodefs.available": "1%", "imagefs.available": "1%" },
  imageGCHighThresholdPercent: 100,
  maxPods: 250,
  staticPodPath,
  volumePluginDir: "/var/lib/kubelet/volume-plugins",
  // Images are loaded from files, never pulled in parallel; pods start sooner when nothing is throttled.
  serializeImagePulls: false,
});
