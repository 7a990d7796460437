import { pick, type Random } from "../../src/base/random.ts";
import { between, oneIn, some, times } from "./chance.ts";
import type { ClusterObjects, Container, ContainerPort, NamespaceObject, NodeObject, PodObject } from "./objects.ts";

/** Few names and values, so that selectors hit and overlap. */
export const words = {
  namespaces: ["x", "y", "z"],
  nodes: ["n1", "n2", "n3"],
  podKeys: { app: ["web", "db"], tier: ["front", "back", ""], canary: ["yes"] },
  namespaceKeys: { team: ["red", "blue"], env: ["prod", "test"] },
  nodeKeys: { zone: ["a", "b"], "node-role.kubernetes.io/control-plane": [""] },
  portNames: ["http", "dns", "metrics"],
  ports: [1, 53, 80, 81, 443, 8080, 9100, 65535],
  protocols: ["TCP", "UDP", "SCTP"],
} as const;

type Keys = Readonly<Record<string, readonly string[]>>;

export function generateLabels(random: Random, keys: Keys): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [key, values] of Object.entries(keys)) if (!oneIn(random, 3)) own[key] = pick(random, values);
  return own;
}

/** Namespaces, nodes and pods, without policies. */
export function generateCluster(random: Random): ClusterObjects {
  const namespaces = words.namespaces.slice(0, between(random, 2, 3)).map(
    (name): NamespaceObject => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: generateLabels(random, words.namespaceKeys) },
    }),
  );
  const nodes = words.nodes.slice(0, between(random, 2, 3)).map((name, index) => generateNode(random, name, index));
  const pods: PodObject[] = [];
  const free = new Map(nodes.map(({ metadata }) => [metadata.name, 2]));
  for (let index = 0; index < between(random, 4, 9); index++) {
    const node = pick(random, nodes);
    const host = free.get(node.metadata.name) ?? 2;
    free.set(node.metadata.name, host + 1);
    pods.push(generatePod(random, `p${index}`, pick(random, namespaces).metadata.name, node, host));
  }
  return { namespaces, nodes, pods, policies: [] };
}

/** Node i has 10.244.i.0/24 and fd00:10:244:i::/64; its tunnel device the first address of each. */
function generateNode(random: Random, name: string, index: number): NodeObject {
  const [four, six] = [`192.168.50.${index + 1}`, `fd00:192:168:50::${index + 1}`];
  const extra = oneIn(random, 3) ? [{ type: "ExternalIP", address: `203.0.113.${index + 1}` }] : [];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: generateLabels(random, words.nodeKeys) },
    spec: { podCIDRs: [`10.244.${index + 1}.0/24`, `fd00:10:244:${index + 1}::/64`] },
    status: {
      addresses: [
        { type: "InternalIP", address: four },
        { type: "InternalIP", address: six },
        { type: "Hostname", address: name },
        ...extra,
      ],
    },
  };
}

export function generatePod(
  random: Random,
  name: string,
  namespace: string,
  node: NodeObject,
  host: number,
): PodObject {
  const [four, six] = node.spec?.podCIDRs ?? [];
  const hostNetwork = oneIn(random, 12);
  const own = hostNetwork
    ? node.status.addresses.filter(({ type }) => type === "InternalIP").map(({ address }) => address)
    : chosenFamilies(random, [`${four?.split("0/24")[0]}${host}`, `${six?.split("/")[0]}${host.toString(16)}`]);
  const first = own[0];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: generateLabels(random, words.podKeys) },
    spec: {
      nodeName: node.metadata.name,
      ...(hostNetwork ? { hostNetwork } : {}),
      containers: generateContainers(random),
      ...(oneIn(random, 3) ? { initContainers: [generateInitContainer(random)] } : {}),
    },
    status: {
      phase: oneIn(random, 12) ? pick(random, ["Succeeded", "Failed"]) : "Running",
      ...(first === undefined ? {} : { podIP: first }),
      podIPs: own.map((ip) => ({ ip })),
    },
  };
}

const chosenFamilies = (random: Random, addresses: readonly string[]): string[] =>
  oneIn(random, 2) ? [...addresses] : [pick(random, addresses)];

/** A pod's containers share its network: a name stands once in a container, but containers may repeat it. */
const generateContainers = (random: Random): Container[] =>
  times(between(random, 1, 2), (index) => {
    const names = oneIn(random, 4) ? [] : some(random, words.portNames);
    return {
      name: `c${index}`,
      image: "registry.k8s.io/pause:3.10",
      ports: names.map((name) => generatePort(random, name)),
    };
  });

const generatePort = (random: Random, name: string): ContainerPort => ({
  name,
  containerPort: pick(random, words.ports),
  ...(oneIn(random, 3) ? {} : { protocol: pick(random, words.protocols) }),
});

const generateInitContainer = (random: Random): Container => ({
  name: "init",
  image: "registry.k8s.io/pause:3.10",
  ports: [generatePort(random, pick(random, words.portNames))],
  ...(oneIn(random, 2) ? { restartPolicy: "Always" } : {}),
});
