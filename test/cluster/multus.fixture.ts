import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "../../lab/kubernetes/binaries.ts";
import { type Manifest, type TestCluster, until } from "./cluster.fixture.ts";
import { builtProgram } from "./cnitool.fixture.ts";

/** Its object, as much as multus reads of it. */
const definitions: Manifest = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "network-attachment-definitions.k8s.cni.cncf.io" },
  spec: {
    group: "k8s.cni.cncf.io",
    scope: "Namespaced",
    names: {
      plural: "network-attachment-definitions",
      singular: "network-attachment-definition",
      kind: "NetworkAttachmentDefinition",
    },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: { spec: { type: "object", properties: { config: { type: "string" } } } },
          },
        },
      },
    ],
  },
};

/** A network that pods name in their annotation; `config` as its administrator writes it. */
export const attachmentDefinition = (name: string, config: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: "k8s.cni.cncf.io/v1",
  kind: "NetworkAttachmentDefinition",
  metadata: { name },
  spec: { config: JSON.stringify({ cniVersion: "1.1.0", type: "twill-cni", ...config }) },
});

/**
 * Multus on one node, in front of what the agent installed there: the runtime calls it, and it calls that list and then the
 * networks of the pod's annotation. The same configuration as multus generates for itself ("auto").
 */
export class Multus {
  readonly #cluster: TestCluster;
  readonly #node: string;
  readonly #binaries: readonly Program[];

  static async install(cluster: TestCluster, node: string, plugins: readonly Program[]): Promise<Multus> {
    const multus = new Multus(cluster, node, ["multus", ...plugins]);
    await cluster.apply(definitions);
    await cluster.kubectl("wait", "--for=condition=established", `crd/${definitions.metadata.name}`, "--timeout=60s");
    for (const name of multus.#binaries) symlinkSync(await builtProgram(name), multus.#file("opt-cni-bin", name));
    const list = JSON.parse(readFileSync(multus.#file("etc-cni-net.d", "10-twill.conflist"), "utf8"));
    const configuration = {
      cniVersion: list.cniVersion,
      name: "multus-cni-network",
      type: "multus",
      kubeconfig: join(cluster.directory, "kubernetes/admin.kubeconfig"),
      capabilities: { portMappings: true },
      delegates: [list],
    };
    const path = multus.#file("etc-cni-net.d", multus.#name);
    writeFileSync(`${path}.new`, JSON.stringify(configuration));
    renameSync(`${path}.new`, path);
    await until("containerd has read multus' configuration", () => multus.#isInUse());
    return multus;
  }

  private constructor(cluster: TestCluster, node: string, binaries: readonly Program[]) {
    this.#cluster = cluster;
    this.#node = node;
    this.#binaries = binaries;
  }

  async uninstall(): Promise<void> {
    rmSync(this.#file("etc-cni-net.d", this.#name), { force: true });
    for (const name of this.#binaries) rmSync(this.#file("opt-cni-bin", name), { force: true });
    await this.#cluster.remove(definitions);
  }

  /** The first in the folder, so that the runtime takes it. */
  readonly #name = "00-multus.conf";
  #file = (folder: string, name: string): string => join(this.#cluster.directory, "nodes", this.#node, folder, name);

  /** containerd watches the folder and tells nobody: whether a new pod comes by multus shows in its annotation. */
  async #isInUse(): Promise<boolean> {
    const pod = idlePod("multus-probe", this.#node, {});
    await this.#cluster.apply(pod);
    await this.#cluster.kubectl("wait", "--for=condition=Ready", "pod/multus-probe", "--timeout=120s");
    const { metadata } = await this.#cluster.get<AnnotatedPod>("pod", "multus-probe");
    await this.#cluster.remove(pod);
    return networkStatus in (metadata.annotations ?? {});
  }
}

const networkStatus = "k8s.v1.cni.cncf.io/network-status";

interface AnnotatedPod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

/** What multus tells of one of a pod's interfaces, made from the plugin's result. */
export interface NetworkStatus {
  readonly name: string;
  readonly interface: string;
  readonly ips: readonly string[];
  readonly mac: string;
  readonly mtu: number;
  readonly default?: boolean;
  readonly gateway?: readonly string[];
}

export async function networkStatusOf(cluster: TestCluster, pod: string): Promise<readonly NetworkStatus[]> {
  const { metadata } = await cluster.get<AnnotatedPod>("pod", pod);
  return JSON.parse(metadata.annotations?.[networkStatus] ?? "[]");
}

/** A pod that answers HTTP on port 8080, with what else its container has. */
export const idlePod = (
  name: string,
  node: string,
  more: { readonly networks?: unknown; readonly hostPorts?: readonly unknown[] },
): Manifest => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    ...(more.networks === undefined
      ? {}
      : { annotations: { "k8s.v1.cni.cncf.io/networks": JSON.stringify(more.networks) } }),
  },
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "a",
        image: "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
        args: ["netexec", "--http-port=8080", "--udp-port=8080"],
        ...(more.hostPorts === undefined ? {} : { ports: more.hostPorts }),
      },
    ],
  },
});
