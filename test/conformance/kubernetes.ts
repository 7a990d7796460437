import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { LabApi } from "../../lab/api.ts";
import { callLab } from "../../lab/control.ts";
import { readRecord } from "../../lab/directory.ts";
import { controlSocket } from "../../lab/init.ts";
import { onDisk } from "../../lab/node-disk.ts";
import type { Address } from "../../src/base/address.ts";
import { parseAddress } from "../../src/base/address.ts";
import { closeFile, O_RDONLY, openFile } from "../../src/kernel/file.ts";
import { type Manifest, type TestCluster, until } from "../cluster/cluster.fixture.ts";
import { pause } from "../cluster/workloads.fixture.ts";
import type { KubernetesObject } from "../oracle/objects.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { ownAddresses } from "./own-addresses.ts";
import { allPods, servedPorts } from "./probe.ts";
import { type ProbePlace, Prober } from "./rig/prober.ts";
import { containerPorts, podLabels, standardNamespaces } from "./standard.ts";

/**
 * The matrix on a real cluster: API server, kubelets and containerd make the pods; what serves and probes is this process, inside the
 * pods' network namespaces, so that no answer depends on how fast kubectl is.
 */
export async function kubernetesCluster(cluster: TestCluster): Promise<ConformanceCluster> {
  const places = new Map<string, ProbePlace>();
  const { nodes } = cluster;
  const nodeOf = (pod: string): string => nodes[allPods.indexOf(pod) % nodes.length] ?? "";
  const manifests = [...standardNamespaces.map(asManifest), ...allPods.map((pod) => podManifest(pod, nodeOf(pod)))];
  const close = async (): Promise<void> => {
    for (const { netns } of places.values()) closeFile(netns);
    await cluster.remove(...manifests, customResource);
  };
  try {
    await cluster.apply(customResource);
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${customResource.metadata.name}`);
    await cluster.apply(...manifests);
    for (const [pod, addresses] of await runningPods(cluster)) {
      places.set(pod, { netns: netnsWith(cluster.directory, nodeOf(pod), addresses), addresses });
    }
    const { init } = readRecord(cluster.directory) ?? {};
    for (const party of [...nodes, "outside"]) {
      const socket = controlSocket(cluster.directory);
      const { net } = await callLab<LabApi, "enter">(socket, "enter", { target: party });
      const netns = openFile(`/proc/${init?.pid}/fd/${net}`, O_RDONLY);
      places.set(party, { netns, addresses: ownAddresses(netns) });
    }
    const prober = new Prober(places, allPods, servedPorts);
    return {
      name: "Kubernetes",
      settles: 90_000,
      nodes,
      nodeOf,
      isReached: (party) => party !== "outside",
      addressesOf: (party) => places.get(party)?.addresses ?? [],
      apply: (objects) => cluster.apply(...objects.map(asManifest)),
      remove: async (objects) => {
        if (objects.length > 0) await cluster.remove(...objects.map(asManifest));
      },
      relabel: async (pod, labels) => {
        const [namespace = "", name = ""] = pod.split("/");
        const patch = JSON.stringify([{ op: "replace", path: "/metadata/labels", value: labels }]);
        await cluster.kubectl("-n", namespace, "patch", "pod", name, "--type=json", `--patch=${patch}`);
      },
      probe: async (probes, expected) => prober.probe(probes, expected),
      close: async () => {
        prober.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Addresses by pod, once all have them. */
async function runningPods(cluster: TestCluster): Promise<ReadonlyMap<string, readonly Address[]>> {
  const found = new Map<string, readonly Address[]>();
  await until("every pod of the matrix runs", async () => {
    const { items } = await cluster.get<{ items: readonly PodReport[] }>("pods", "--all-namespaces");
    for (const { metadata, status } of items) {
      const name = `${metadata.namespace}/${metadata.name}`;
      const addresses = (status.podIPs ?? []).map(({ ip }) => parseAddress(ip));
      if (allPods.includes(name) && status.phase === "Running" && addresses.length > 0) found.set(name, addresses);
    }
    return found.size === allPods.length;
  });
  return found;
}

interface PodReport {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly status: { readonly phase: string; readonly podIPs?: readonly { readonly ip: string }[] };
}

/** As containerd bound them; which is whose shows in their addresses. Seen through the lab's first process, whose mounts they are. */
function netnsWith(directory: string, node: string, addresses: readonly Address[]): number {
  const { init } = readRecord(directory) ?? {};
  const folder = `/proc/${init?.pid}/root${onDisk(join(directory, "nodes", node), "/run/netns")}`;
  for (const file of readdirSync(folder)) {
    const netns = openFile(join(folder, file), O_RDONLY);
    if (ownAddresses(netns).some((address) => addresses.includes(address))) return netns;
    closeFile(netns);
  }
  throw new Error(`no network namespace on ${node} has ${addresses.join(", ")}`);
}

const asManifest = (object: KubernetesObject): Manifest => ({ ...object });

function podManifest(pod: string, node: string): Manifest {
  const [namespace = "", name = ""] = pod.split("/");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: podLabels(name) } as Manifest["metadata"],
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "pause", image: pause, ports: containerPorts(name) }],
    },
  };
}

/** Anything goes, as with a version of the API that is newer than the agents. */
const customResource: Manifest = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: "clusternetworkpolicies.policy.networking.k8s.io",
    annotations: { "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/network-policy-api" },
  } as Manifest["metadata"],
  spec: {
    group: "policy.networking.k8s.io",
    scope: "Cluster",
    names: {
      kind: "ClusterNetworkPolicy",
      plural: "clusternetworkpolicies",
      singular: "clusternetworkpolicy",
      shortNames: ["cnp"],
    },
    versions: [
      {
        name: "v1alpha2",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};
