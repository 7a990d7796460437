import { pick, type Random } from "../../src/base/random.ts";
import { between, oneIn, times } from "./chance.ts";
import { words } from "./generate-cluster.ts";
import { generateExcept, generateNetwork } from "./generate-network.ts";
import { generateSelector } from "./generate-selector.ts";
import type {
  ClusterNetworkPolicyObject,
  ClusterObjects,
  ClusterPeer,
  ClusterPort,
  ClusterProtocol,
  ClusterRule,
  NamespacedPod,
  NetworkPolicyObject,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  PolicyObject,
} from "./objects.ts";

const podSelector = (random: Random) => generateSelector(random, words.podKeys);
/** Also by the label that every namespace has. */
const namespaceKeys = { ...words.namespaceKeys, "kubernetes.io/metadata.name": words.namespaces };
const namespaceSelector = (random: Random) => generateSelector(random, namespaceKeys);

/** Policies of both APIs, with names that make neither's order follow from the other. */
export const generatePolicies = (random: Random, cluster: ClusterObjects): PolicyObject[] =>
  times(between(random, 1, 7), (index) => generatePolicy(random, cluster, `${pick(random, ["a", "k", "z"])}${index}`));

export const generatePolicy = (random: Random, cluster: ClusterObjects, name: string): PolicyObject =>
  oneIn(random, 2) ? generateNetworkPolicy(random, cluster, name) : generateClusterPolicy(random, cluster, name);

function generateNetworkPolicy(random: Random, cluster: ClusterObjects, name: string): NetworkPolicyObject {
  const rules = () =>
    times(random.below(3), () => ({ ports: generatePorts(random), peers: generatePeers(random, cluster) }));
  const types = oneIn(random, 3)
    ? undefined
    : pick(random, [[], ["Ingress"], ["Egress"], ["Ingress", "Egress"]] as const);
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: pick(random, cluster.namespaces).metadata.name },
    spec: {
      ...(oneIn(random, 12) ? {} : { podSelector: podSelector(random) }),
      ...(types === undefined ? {} : { policyTypes: types }),
      ...(oneIn(random, 4)
        ? {}
        : { ingress: rules().map(({ ports, peers }) => ({ ...ports, ...(peers && { from: peers }) })) }),
      ...(oneIn(random, 3)
        ? {}
        : { egress: rules().map(({ ports, peers }) => ({ ...ports, ...(peers && { to: peers }) })) }),
    },
  };
}

const generatePorts = (random: Random): { readonly ports?: readonly NetworkPolicyPort[] } =>
  oneIn(random, 3) ? {} : { ports: times(random.below(3), () => generatePort(random)) };

function generatePort(random: Random): NetworkPolicyPort {
  const protocol = oneIn(random, 3) ? {} : { protocol: pick(random, words.protocols) };
  const kind = random.below(6);
  if (kind === 0) return protocol;
  if (kind < 3) return { ...protocol, port: pick(random, words.portNames) };
  const port = pick(random, words.ports);
  return kind < 5 ? { ...protocol, port } : { ...protocol, port, endPort: rangeEnd(random, port) };
}

/** Also the port itself, and the last of all. */
const rangeEnd = (random: Random, port: number): number =>
  Math.min(65535, pick(random, [port, port + 1, port + between(random, 2, 40), 65535]));

const generatePeers = (random: Random, cluster: ClusterObjects): readonly NetworkPolicyPeer[] | undefined =>
  oneIn(random, 4) ? undefined : times(random.below(3), () => generatePeer(random, cluster));

function generatePeer(random: Random, cluster: ClusterObjects): NetworkPolicyPeer {
  const kind = random.below(6);
  if (kind < 2) {
    const cidr = generateNetwork(random, cluster);
    return { ipBlock: { cidr, ...(oneIn(random, 2) ? { except: generateExcept(random, cluster, cidr) } : {}) } };
  }
  if (kind === 2) return { podSelector: podSelector(random) };
  if (kind === 3) return { namespaceSelector: namespaceSelector(random) };
  return { podSelector: podSelector(random), namespaceSelector: namespaceSelector(random) };
}

const namespacedPod = (random: Random): NamespacedPod => ({
  namespaceSelector: namespaceSelector(random),
  podSelector: podSelector(random),
});

function generateClusterPolicy(random: Random, cluster: ClusterObjects, name: string): ClusterNetworkPolicyObject {
  const rules = (direction: "from" | "to") => times(random.below(4), () => generateRule(random, cluster, direction));
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name },
    spec: {
      tier: pick(random, ["Admin", "Baseline"]),
      // Few, so that equal ones meet.
      priority: pick(random, [0, 7, 7, 10, 1000]),
      subject: oneIn(random, 2) ? { namespaces: namespaceSelector(random) } : { pods: namespacedPod(random) },
      ...(oneIn(random, 4) ? {} : { ingress: rules("from") }),
      ...(oneIn(random, 4) ? {} : { egress: rules("to") }),
    },
  };
}

function generateRule(random: Random, cluster: ClusterObjects, direction: "from" | "to"): ClusterRule {
  const peers = times(between(random, 1, 3), () => generateClusterPeer(random, cluster, direction));
  // The API server refuses named ports where a peer has none: networks, nodes, domain names.
  const named = peers.every(({ namespaces, pods }) => namespaces !== undefined || pods !== undefined);
  const protocols = oneIn(random, 2)
    ? {}
    : { protocols: times(between(random, 1, 2), () => generateProtocol(random, named)) };
  const name = oneIn(random, 3) ? { name: pick(random, ["let in", "keep out", "not my business"]) } : {};
  return { ...name, action: pick(random, ["Accept", "Deny", "Pass"]), [direction]: peers, ...protocols };
}

function generateClusterPeer(random: Random, cluster: ClusterObjects, direction: "from" | "to"): ClusterPeer {
  if (oneIn(random, 25)) return pick(random, [{}, { unheardOf: { like: "this" } }]);
  const kind = random.below(direction === "from" ? 2 : 4);
  if (kind === 0) return { namespaces: namespaceSelector(random) };
  if (kind === 1) return { pods: namespacedPod(random) };
  if (kind === 2) return { nodes: generateSelector(random, words.nodeKeys) };
  if (oneIn(random, 20)) return { domainNames: ["*.example.com"] };
  return { networks: [...new Set(times(between(random, 1, 3), () => generateNetwork(random, cluster)))] };
}

function generateProtocol(random: Random, named: boolean): ClusterProtocol {
  if (named && oneIn(random, 3)) return { destinationNamedPort: pick(random, words.portNames) };
  return { [pick(random, ["tcp", "udp", "sctp"])]: { destinationPort: generateClusterPort(random) } };
}

function generateClusterPort(random: Random): ClusterPort {
  const number = pick(random, words.ports);
  if (oneIn(random, 2) || number === 65535) return { number };
  return { range: { start: number, end: rangeEnd(random, number + 1) } };
}
