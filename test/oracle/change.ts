import { pick, type Random } from "../../src/base/random.ts";
import { between, times } from "./chance.ts";
import { addressesOfPod } from "./flow.ts";
import { generateLabels, generatePod, words } from "./generate-cluster.ts";
import { generatePolicy } from "./generate-policy.ts";
import type { ClusterObjects, KubernetesObject, PodObject } from "./objects.ts";

/** What happens to a cluster in one moment: objects that are new or other, and objects that are gone. */
export interface ClusterChange {
  readonly what: string;
  readonly put: readonly KubernetesObject[];
  readonly gone: readonly KubernetesObject[];
}

type Kind = "namespaces" | "nodes" | "pods" | "policies";
const kinds: Readonly<Record<KubernetesObject["kind"], Kind>> = {
  Namespace: "namespaces",
  Node: "nodes",
  Pod: "pods",
  NetworkPolicy: "policies",
  ClusterNetworkPolicy: "policies",
};

const isSame = (a: KubernetesObject, b: KubernetesObject): boolean =>
  a.kind === b.kind && a.metadata.name === b.metadata.name && a.metadata.namespace === b.metadata.namespace;

export function changed(cluster: ClusterObjects, { put, gone }: ClusterChange): ClusterObjects {
  const touched = [...put, ...gone];
  const next = (kind: Kind) => [
    ...cluster[kind].filter((object) => !touched.some((one) => isSame(one, object))),
    ...put.filter((object) => kinds[object.kind] === kind),
  ];
  return {
    namespaces: next("namespaces"),
    nodes: next("nodes"),
    pods: next("pods"),
    policies: next("policies"),
  } as ClusterObjects;
}

/** Anything that may happen to a running cluster. @param serial names what is new. */
export function generateChange(random: Random, cluster: ClusterObjects, serial: number): ClusterChange {
  const { pods, policies, namespaces, nodes } = cluster;
  const [pod, policy] = [pods[random.below(pods.length)], policies[random.below(policies.length)]];
  const node = pick(random, nodes);
  const namespace = pick(random, namespaces);
  const relabelled = <T extends KubernetesObject>(object: T, keys: Parameters<typeof generateLabels>[1]): T => ({
    ...object,
    metadata: { ...object.metadata, labels: generateLabels(random, keys) },
  });
  const newPod = (): PodObject =>
    generatePod(
      random,
      `new${serial}`,
      namespace.metadata.name,
      node,
      freeHost(cluster, node.spec?.podCIDRs?.[0] ?? ""),
    );
  switch (random.below(10)) {
    case 0:
    case 1:
      return { what: "policy added", put: [generatePolicy(random, cluster, `new${serial}`)], gone: [] };
    case 2:
      if (policy === undefined) break;
      return { what: "policy removed", put: [], gone: [policy] };
    case 3: {
      const other = generatePolicy(random, cluster, policy?.metadata.name ?? "other");
      const same = policies.find((one) => isSame(one, other));
      return { what: same === undefined ? "policy added" : "policy rewritten", put: [other], gone: [] };
    }
    case 4:
      return { what: "namespace relabelled", put: [relabelled(namespace, words.namespaceKeys)], gone: [] };
    case 5:
      return { what: "node relabelled", put: [relabelled(node, words.nodeKeys)], gone: [] };
    case 6:
      if (pod === undefined) break;
      return { what: "pod relabelled", put: [relabelled(pod, words.podKeys)], gone: [] };
    case 7:
      return { what: "pod added", put: [newPod()], gone: [] };
    case 8:
      if (pod === undefined || pods.length < 3) break;
      return pod.status.phase === "Running"
        ? { what: "pod completed", put: [{ ...pod, status: { ...pod.status, phase: "Succeeded" } }], gone: [] }
        : { what: "pod removed", put: [], gone: [pod] };
    case 9: {
      if (pod === undefined || addressesOfPod(pod).length === 0) break;
      // Its address is another pod's in the same moment.
      const heir = { ...relabelled(pod, words.podKeys), metadata: { ...newPod().metadata, name: `heir${serial}` } };
      return { what: "address reused", put: [heir], gone: [pod] };
    }
  }
  return {
    what: "several policies added",
    put: times(between(random, 2, 3), (index) => generatePolicy(random, cluster, `more${serial}-${index}`)),
    gone: [],
  };
}

/** The lowest host number above 1 that no pod of the cluster, not even a completed one, has in this network. */
function freeHost({ pods }: ClusterObjects, network: string): number {
  const prefix = network.split("0/24")[0] ?? "";
  const used = new Set(pods.flatMap(({ status }) => (status.podIPs ?? []).map(({ ip }) => ip)));
  const six = (host: number) => `fd00:10:244:${prefix.split(".")[2]}::${host.toString(16)}`;
  for (let host = 2; ; host++) if (!used.has(`${prefix}${host}`) && !used.has(six(host))) return host;
}
