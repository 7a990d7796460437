import { type Address, parseAddress } from "../../base/address.ts";
import { type Prefix, parsePrefix } from "../../base/prefix.ts";
import { pick, type Random } from "../../base/random.ts";
import {
  type EndpointMatch,
  type Labels,
  type NamedPort,
  type Namespace,
  type PeerMatch,
  type Policy,
  type PolicyModel,
  type PolicyNode,
  type PolicyRule,
  policyName,
  type Selector,
  type Tier,
  type TrafficMatch,
  type WorkloadEndpoint,
} from "../../model/policy.ts";
import type { Flow } from "./flow.ts";

/** A PolicyModel that tests change. */
export interface MutableModel extends PolicyModel {
  readonly namespaces: Map<string, Namespace>;
  readonly endpoints: Map<string, WorkloadEndpoint>;
  readonly nodes: Map<string, PolicyNode>;
  readonly tiers: Map<string, Tier>;
  readonly policies: Map<string, Policy>;
}

export const emptyModel = (): MutableModel => ({
  namespaces: new Map(),
  endpoints: new Map(),
  nodes: new Map(),
  tiers: new Map(),
  policies: new Map(),
});

/** Few names, labels, addresses and ports, so that everything meets everything. */
export class RandomPolicy {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  model(): MutableModel {
    const model = emptyModel();
    for (const name of namespaceNames) model.namespaces.set(name, this.namespace(name));
    for (const name of nodeNames) model.nodes.set(name, this.node(name));
    for (const name of tierNames) model.tiers.set(name, this.tier(name));
    for (let count = this.#below(12); count >= 0; count--) this.putEndpoint(model);
    for (let count = this.#below(6); count >= 0; count--) this.putPolicy(model);
    return model;
  }

  namespace(name: string): Namespace {
    return { name, labels: { ...this.#labels(), "kubernetes.io/metadata.name": name } };
  }

  node(name: string): PolicyNode {
    const number = nodeNames.indexOf(name) + 1;
    const further = this.#chance(4) ? [address("10.0.3.3")] : [];
    return {
      name,
      labels: this.#labels(),
      addresses: [address(`192.168.0.${number}`), address(`fd99::${number}`), ...further],
    };
  }

  tier(name: string): Tier {
    return { name, order: this.#below(3), defaultAction: this.#chance(2) ? "deny" : "pass" };
  }

  putEndpoint(model: MutableModel): string {
    const namespace = pick(this.#random, namespaceNames);
    const pod = `p${this.#below(12)}`;
    const name = `${namespace}/${pod}`;
    model.endpoints.set(name, {
      namespace,
      pod,
      ...(this.#chance(8) ? {} : { node: pick(this.#random, nodeNames) }),
      labels: this.#labels(),
      ...(this.#chance(2) ? {} : { serviceAccount: pick(this.#random, ["default", "robot"]) }),
      addresses: this.#addresses(),
      ports: this.#namedPorts(),
      ...(this.#chance(12) ? { unknown: true } : {}),
    });
    return name;
  }

  putPolicy(model: MutableModel): string {
    const policy = this.policy();
    model.policies.set(policyName(policy.id), policy);
    return policyName(policy.id);
  }

  policy(): Policy {
    const id = {
      kind: pick(this.#random, ["NetworkPolicy", "ClusterNetworkPolicy"] as const),
      name: `n${this.#below(10)}`,
    };
    const directions = this.#below(4);
    return {
      id,
      tier: this.#chance(15) ? "nowhere" : pick(this.#random, tierNames),
      order: this.#below(3),
      subject: this.#endpointMatch(),
      ...(directions === 1 ? {} : { ingress: this.#some(3, () => this.#rule()) }),
      ...(directions === 2 ? {} : { egress: this.#some(3, () => this.#rule()) }),
      allowsOwnNode: this.#chance(2),
      ...(this.#chance(12) ? { broken: "unreadable" } : {}),
    };
  }

  flow(model: PolicyModel): Flow {
    const protocol = pick(this.#random, [6, 6, 6, 17, 132, 1, 58, 47]);
    const six = this.#chance(4);
    const ports = protocol === 47 ? [0] : protocol === 1 || protocol === 58 ? [0, 2048, 769, 2049] : flowPorts;
    return {
      source: this.#address(model, six),
      destination: this.#address(model, six),
      protocol,
      port: pick(this.#random, ports),
      sourcePort: 40000,
    };
  }

  #address(model: PolicyModel, six: boolean): Address {
    const endpoints = [...model.endpoints.values()].flatMap(({ addresses }) => addresses);
    const nodes = [...model.nodes.values()].flatMap(({ addresses }) => addresses);
    const known = (this.#chance(5) ? nodes : endpoints).filter((one) => one.includes(":") === six);
    if (known.length > 0 && !this.#chance(4)) return pick(this.#random, known);
    return address(
      pick(this.#random, six ? ["fd00::77", "2001:db8::1"] : ["10.0.1.77", "10.0.2.3", "172.16.0.1", "8.8.8.8"]),
    );
  }

  #addresses(): readonly Address[] {
    const number = this.#below(14);
    const four = address(`10.0.${1 + (number % 3)}.${number}`);
    const six = address(`fd00::${number + 1}`);
    return pick(this.#random, [[four], [four, six], [four], [six], []]);
  }

  #labels(): Labels {
    return Object.fromEntries(
      ["app", "env"].filter(() => this.#chance(2)).map((key) => [key, pick(this.#random, values)]),
    );
  }

  #namedPorts(): readonly NamedPort[] {
    return this.#some(3, () => ({
      name: pick(this.#random, portNames),
      protocol: pick(this.#random, [6, 6, 17]),
      port: pick(this.#random, [80, 81, 8080]),
    }));
  }

  #selector(depth = 0): Selector {
    const key = pick(this.#random, ["app", "env"]);
    const value = pick(this.#random, values);
    return pick<() => Selector>(this.#random, [
      () => ({ op: "all" }),
      () => ({ op: "has", key }),
      () => ({ op: "in", key, values: [value] }),
      () => ({ op: "in", key, values: this.#some(3, () => pick(this.#random, values)) }),
      () => ({ op: "not-in", key, values: [value] }),
      () => ({
        op: pick(this.#random, ["contains", "starts-with", "ends-with"] as const),
        key,
        value: value.slice(0, 1),
      }),
      () => (depth > 1 ? { op: "all" } : { op: "not", of: this.#selector(depth + 1) }),
      () =>
        depth > 1
          ? { op: "all" }
          : { op: pick(this.#random, ["and", "or"] as const), of: this.#some(3, () => this.#selector(depth + 1)) },
    ])();
  }

  #endpointMatch(): EndpointMatch {
    return {
      ...(this.#chance(2) ? { namespace: pick(this.#random, namespaceNames) } : {}),
      ...(this.#chance(4) ? { namespaces: this.#selector() } : {}),
      ...(this.#chance(2) ? { labels: this.#selector() } : {}),
      ...(this.#chance(8) ? { serviceAccounts: ["robot"] } : {}),
    };
  }

  #peer(depth = 0): PeerMatch {
    return pick<() => PeerMatch>(this.#random, [
      () => ({ endpoints: this.#endpointMatch() }),
      () => ({ endpoints: this.#endpointMatch() }),
      () => ({ networks: this.#some(3, () => this.#prefix()), except: this.#some(2, () => this.#prefix()) }),
      () => ({ nodes: this.#selector() }),
      () => (depth > 1 ? { any: [] } : { any: this.#some(3, () => this.#peer(depth + 1)) }),
      () => (depth > 1 ? { all: [] } : { all: this.#some(3, () => this.#peer(depth + 1)) }),
      () => (depth > 1 ? { any: [] } : { not: this.#peer(depth + 1) }),
    ])();
  }

  #prefix(): Prefix {
    return parsePrefix(pick(this.#random, prefixes));
  }

  #rule(): PolicyRule {
    return {
      action: pick(this.#random, ["allow", "allow", "allow", "deny", "deny", "pass", "log"] as const),
      ...(this.#chance(10) ? { family: pick(this.#random, [4, 6] as const) } : {}),
      ...(this.#chance(2) ? { source: this.#peer() } : {}),
      ...(this.#chance(2) ? { destination: this.#peer() } : {}),
      ...(this.#chance(2) ? { traffic: this.#some(4, () => this.#traffic()) } : {}),
      ...(this.#chance(8) ? { notTraffic: this.#some(2, () => this.#traffic()) } : {}),
      ...(this.#chance(30) ? { sourcePorts: [{ first: 1, last: 50000 }] } : {}),
    };
  }

  #traffic(): TrafficMatch {
    const protocol = pick(this.#random, [6, 6, 17, 132]);
    const first = pick(this.#random, flowPorts);
    return pick<() => TrafficMatch>(this.#random, [
      () => ({ protocol }),
      () => ({ protocol, ports: { first, last: first } }),
      () => ({ protocol, ports: { first, last: Math.min(65535, first + this.#below(1000)) } }),
      () => ({ protocol, portName: pick(this.#random, portNames) }),
      () => ({ portName: pick(this.#random, portNames) }),
      () => ({ protocol: 1, icmpType: pick(this.#random, [0, 3, 8]), ...(this.#chance(2) ? { icmpCode: 1 } : {}) }),
      () => (this.#chance(4) ? { protocol: 47, ports: { first, last: first } } : { protocol: 47 }),
    ])();
  }

  #some<T>(limit: number, make: () => T): T[] {
    return Array.from({ length: this.#below(limit + 1) }, make);
  }

  #below(limit: number): number {
    return this.#random.below(limit);
  }

  /** True once in so many times. */
  #chance(times: number): boolean {
    return this.#random.below(times) === 0;
  }
}

const address = parseAddress;
export const namespaceNames = ["a", "b", "c"];
export const nodeNames = ["node1", "node2", "node3"];
export const tierNames = ["first", "second", "third"];
const values = ["x", "y", "xy"];
const portNames = ["http", "dns"];
const flowPorts = [0, 53, 79, 80, 81, 443, 8080, 8081, 65535];
const prefixes = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.0.1.0/24",
  "10.0.2.0/23",
  "10.0.1.77/32",
  "10.0.2.2/31",
  "192.168.0.1/32",
  "::/0",
  "fd00::/64",
  "fd00::4/126",
];
