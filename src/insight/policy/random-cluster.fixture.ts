import { type Address, parseAddress } from "../../base/address.ts";
import { type Prefix, parsePrefix } from "../../base/prefix.ts";
import { pick, type Random } from "../../base/random.ts";
import {
  type EndpointMatch,
  kubernetesTiers,
  type PeerMatch,
  type Policy,
  type PolicyModel,
  type PolicyRule,
  policyName,
  protocols,
  type RuleAction,
  type Selector,
  type TrafficMatch,
  type WorkloadEndpoint,
} from "../../model/policy.ts";

/** Small clusters in which everything overlaps: few labels, few ports, nested networks that hold pods and nodes too. */
export interface MutableCluster {
  readonly namespaces: Map<string, { name: string; labels: Record<string, string> }>;
  readonly endpoints: Map<string, WorkloadEndpoint>;
  readonly nodes: Map<string, { name: string; labels: Record<string, string>; addresses: Address[] }>;
  readonly tiers: Map<string, (typeof kubernetesTiers)[number]>;
  readonly policies: Map<string, Policy>;
}

const spaces = ["a", "b", "c"];
const values = ["x", "y"];
const keys = ["app", "role"];
const networks = [
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.1.0/24",
  "10.1.1.2/32",
  "192.168.0.0/16",
  "0.0.0.0/0",
  "8.8.8.0/24",
  "fd00::/8",
  "fd00:1::/64",
];

export function randomCluster(random: Random, size = { pods: 8, policies: 5 }): MutableCluster {
  const maybe = (percent: number): boolean => random.below(100) < percent;
  const labels = (): Record<string, string> =>
    Object.fromEntries(keys.flatMap((key) => (maybe(60) ? [[key, pick(random, values)]] : [])));
  const cluster: MutableCluster = {
    namespaces: new Map(
      spaces.map((name) => [name, { name, labels: { "kubernetes.io/metadata.name": name, ...labels() } }]),
    ),
    endpoints: new Map(),
    nodes: new Map(),
    tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
    policies: new Map(),
  };
  for (const index of [1, 2]) {
    const addresses = [`192.168.1.${index}`, `10.1.${index}.1`, ...(maybe(50) ? [`fd00:9::${index}`] : [])].map(
      parseAddress,
    );
    cluster.nodes.set(`n${index}`, { name: `n${index}`, labels: labels(), addresses });
  }
  for (let index = 0; index < size.pods; index++) {
    const [namespace, pod] = [pick(random, spaces), `p${index}`];
    const node = 1 + random.below(2);
    const v6 = maybe(30) ? [`fd00:1::${index + 2}`] : [];
    cluster.endpoints.set(`${namespace}/${pod}`, {
      namespace,
      pod,
      node: `n${node}`,
      labels: labels(),
      addresses: [`10.1.${node}.${index + 2}`, ...v6].map(parseAddress),
      ports: maybe(50)
        ? [{ name: "http", protocol: maybe(80) ? protocols.tcp : protocols.udp, port: pick(random, [80, 8080]) }]
        : [],
      ...(maybe(15) ? { unknown: true } : {}),
    });
  }
  for (let index = 0; index < size.policies; index++) addPolicy(cluster, randomPolicy(random, `policy${index}`));
  return cluster;
}

export const addPolicy = (cluster: MutableCluster, policy: Policy): void =>
  void cluster.policies.set(policyName(policy.id), policy);

export function randomPolicy(random: Random, name: string): Policy {
  const maybe = (percent: number): boolean => random.below(100) < percent;
  const cluster = maybe(40);
  const namespace = pick(random, spaces);
  const actions: readonly RuleAction[] = cluster ? ["allow", "deny", "pass", "log"] : ["allow"];
  const rules = (): PolicyRule[] =>
    Array.from({ length: random.below(4) }, () => randomRule(random, namespace, actions));
  const direction = random.below(3);
  return {
    id: cluster ? { kind: "ClusterNetworkPolicy", name } : { kind: "NetworkPolicy", namespace, name },
    tier: cluster ? pick(random, ["kube-admin", "kube-baseline"]) : "default",
    order: cluster ? random.below(3) : 1000,
    subject: {
      ...(cluster ? (maybe(50) ? { namespaces: randomSelector(random) } : {}) : { namespace }),
      ...(maybe(60) ? { labels: randomSelector(random) } : {}),
    },
    allowsOwnNode: !cluster,
    ...(maybe(4) ? { broken: "?" } : {}),
    ...(direction !== 1 ? { ingress: rules() } : {}),
    ...(direction !== 0 ? { egress: rules() } : {}),
  };
}

function randomRule(random: Random, namespace: string, actions: readonly RuleAction[]): PolicyRule {
  const maybe = (percent: number): boolean => random.below(100) < percent;
  const peer = maybe(75) ? randomPeer(random, namespace, 2) : undefined;
  return {
    action: pick(random, actions),
    ...(peer === undefined ? {} : { source: peer, destination: peer }),
    ...(maybe(60) ? { traffic: Array.from({ length: random.below(3) }, () => randomTraffic(random)) } : {}),
    ...(maybe(10) ? { notTraffic: [randomTraffic(random)] } : {}),
    ...(maybe(8) ? { family: maybe(50) ? 4 : 6 } : {}),
  };
}

function randomTraffic(random: Random): TrafficMatch {
  const protocol = pick(random, [protocols.tcp, protocols.udp, protocols.sctp]);
  const first = pick(random, [53, 79, 80, 81, 8080]);
  const choices: readonly TrafficMatch[] = [
    { protocol },
    { protocol, ports: { first, last: first } },
    { protocol, ports: { first, last: first + random.below(3) } },
    { portName: "http" },
    { protocol: protocols.tcp, portName: "http" },
    { protocol: protocols.icmp, icmpType: 8 },
    { protocol: 47 },
  ];
  return pick(random, choices);
}

function randomPeer(random: Random, namespace: string, depth: number): PeerMatch {
  const part = (): PeerMatch => randomPeer(random, namespace, depth - 1);
  const prefixes = (count: number): Prefix[] =>
    Array.from({ length: count }, () => parsePrefix(pick(random, networks)));
  switch (random.below(depth === 0 ? 4 : 7)) {
    case 0:
      return { networks: prefixes(1 + random.below(2)), except: prefixes(random.below(2)) };
    case 1:
      return { nodes: randomSelector(random) };
    case 2:
    case 3: {
      const match: EndpointMatch = random.below(2) === 0 ? { namespace } : { namespaces: randomSelector(random) };
      return { endpoints: random.below(2) === 0 ? match : { ...match, labels: randomSelector(random) } };
    }
    case 4:
      return { not: part() };
    case 5:
      return { any: [part(), part()] };
    default:
      return { all: [part(), part()] };
  }
}

function randomSelector(random: Random): Selector {
  const key = pick(random, keys);
  const choices: readonly Selector[] = [
    { op: "all" },
    { op: "has", key },
    { op: "not", of: { op: "has", key } },
    { op: "in", key, values: [pick(random, values)] },
    { op: "not-in", key, values: [pick(random, values)] },
    { op: "in", key: "kubernetes.io/metadata.name", values: [pick(random, spaces)] },
  ];
  return pick(random, choices);
}

/** One thing changed, as people change it. */
export function changedCluster(
  random: Random,
  { namespaces, endpoints, nodes, tiers, policies }: MutableCluster,
): MutableCluster {
  const after = {
    namespaces: new Map(namespaces),
    endpoints: new Map(endpoints),
    nodes: new Map(nodes),
    tiers: new Map(tiers),
    policies: new Map(policies),
  };
  const some = <T>(map: ReadonlyMap<string, T>): [string, T] | undefined =>
    map.size === 0 ? undefined : pick(random, [...map]);
  for (let changes = 1 + random.below(2); changes > 0; changes--) {
    const [policy, pod, space] = [some(after.policies), some(after.endpoints), some(after.namespaces)];
    const label = { [pick(random, keys)]: pick(random, values) };
    switch (random.below(5)) {
      case 0:
        addPolicy(after, randomPolicy(random, `new${changes}`));
        break;
      case 1:
        if (policy !== undefined) after.policies.delete(policy[0]);
        break;
      case 2:
        if (policy !== undefined) after.policies.set(policy[0], { ...randomPolicy(random, "x"), id: policy[1].id });
        break;
      case 3:
        if (pod !== undefined) after.endpoints.set(pod[0], { ...pod[1], labels: { ...pod[1].labels, ...label } });
        break;
      default:
        if (space !== undefined)
          after.namespaces.set(space[0], { ...space[1], labels: { ...space[1].labels, ...label } });
    }
  }
  return after;
}

export const asModel = (cluster: MutableCluster): PolicyModel => cluster;
