import { type Address, parseAddress } from "../src/base/address.ts";
import { parsePrefix } from "../src/base/prefix.ts";
import { pick, type Random } from "../src/base/random.ts";
import {
  kubernetesTiers,
  type Namespace,
  type PeerMatch,
  type Policy,
  type PolicyModel,
  type PolicyNode,
  policyName,
  protocols,
  type Tier,
  type WorkloadEndpoint,
} from "../src/model/policy.ts";

export interface WorldSize {
  readonly nodes: number;
  readonly pods: number;
  readonly policies: number;
  /** Each namespace has this many kinds of pods. */
  readonly namespaces: number;
  readonly kinds: number;
  /** Pods on the first node; the others stand on the others. */
  readonly localPods: number;
}

export interface World extends PolicyModel {
  readonly namespaces: Map<string, Namespace>;
  readonly endpoints: Map<string, WorkloadEndpoint>;
  readonly nodes: Map<string, PolicyNode>;
  readonly tiers: Map<string, Tier>;
  readonly policies: Map<string, Policy>;
}

/** A cluster of many teams: namespaces with labels, kinds of pods in each, and policies as teams write them. */
export class WorldMaker {
  readonly #random: Random;
  readonly #size: WorldSize;
  #pods = 0;
  #policies = 0;

  constructor(random: Random, size: WorldSize) {
    this.#random = random;
    this.#size = size;
  }

  world(): World {
    const { nodes, namespaces, pods, policies, localPods } = this.#size;
    const world: World = {
      namespaces: new Map(),
      endpoints: new Map(),
      nodes: new Map(),
      tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
      policies: new Map(),
    };
    for (let index = 0; index < nodes; index++) {
      const name = `node${index}`;
      const labels = { "kubernetes.io/hostname": name, zone: `z${index % 3}` };
      world.nodes.set(name, { name, labels, addresses: [address(172, 16 + (index >> 16), index >> 8, index)] });
    }
    for (let index = 0; index < namespaces; index++) {
      const labels = { "kubernetes.io/metadata.name": `ns${index}`, team: `t${index % 50}` };
      world.namespaces.set(`ns${index}`, { name: `ns${index}`, labels });
    }
    for (let index = 0; index < pods; index++) {
      const pod = this.pod(index < localPods ? 0 : 1 + (index % Math.max(1, nodes - 1)));
      world.endpoints.set(`${pod.namespace}/${pod.pod}`, pod);
    }
    for (let index = 0; index < policies; index++) {
      const policy = this.policy();
      world.policies.set(policyName(policy.id), policy);
    }
    return world;
  }

  /** A new pod of some kind. */
  pod(node: number): WorkloadEndpoint {
    const index = this.#pods++;
    const kind = this.#random.below(this.#size.kinds);
    return {
      namespace: `ns${this.#random.below(this.#size.namespaces)}`,
      pod: `pod-${index}`,
      node: `node${node}`,
      labels: { app: `app${kind}`, tier: kind % 2 === 0 ? "web" : "data", version: "v1" },
      serviceAccount: "default",
      addresses: [address(10, (index >> 16) & 255, (index >> 8) & 255, index & 255)],
      ports: [{ name: "http", protocol: protocols.tcp, port: 8080 }],
    };
  }

  policy(namespace = `ns${this.#random.below(this.#size.namespaces)}`): Policy {
    const name = `policy-${this.#policies++}`;
    const ports = Array.from({ length: 1 + this.#random.below(3) }, () => {
      const port = pick(this.#random, [80, 443, 5432, 6379, 8080, 9090]);
      return { protocol: protocols.tcp, ports: { first: port, last: port } };
    });
    const egress = this.#random.below(4) === 0;
    return {
      id: { kind: "NetworkPolicy", namespace, name },
      tier: "default",
      order: 1000,
      subject: { namespace, labels: { op: "in", key: "app", values: [`app${this.#random.below(this.#size.kinds)}`] } },
      ingress: [{ action: "allow", source: this.#peer(namespace), traffic: ports }],
      ...(egress ? { egress: [{ action: "allow", destination: this.#peer(namespace), traffic: ports }] } : {}),
      allowsOwnNode: true,
    };
  }

  #peer(namespace: string): PeerMatch {
    const app = { op: "in", key: "app", values: [`app${this.#random.below(this.#size.kinds)}`] } as const;
    switch (this.#random.below(10)) {
      case 0:
        return { networks: [parsePrefix(`198.51.${this.#random.below(100)}.0/24`)], except: [] };
      case 1:
        return { endpoints: { namespaces: { op: "in", key: "team", values: [`t${this.#random.below(50)}`] } } };
      case 2:
      case 3: {
        const other = `ns${this.#random.below(this.#size.namespaces)}`;
        return {
          endpoints: { namespaces: { op: "in", key: "kubernetes.io/metadata.name", values: [other] }, labels: app },
        };
      }
      default:
        return { endpoints: { namespace, labels: app } };
    }
  }
}

const address = (...bytes: readonly number[]): Address => parseAddress(bytes.map((byte) => byte & 255).join("."));
