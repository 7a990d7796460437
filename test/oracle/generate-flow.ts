import { familyOf, parseAddress } from "../../src/base/address.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { pick, type Random } from "../../src/base/random.ts";
import { oneIn } from "./chance.ts";
import { addressesOfPod, type Flow, isNetworkPod, partyOf, podName } from "./flow.ts";
import { words } from "./generate-cluster.ts";
import { edgesOf, knownAddresses } from "./generate-network.ts";
import type { ClusterObjects, PolicyObject } from "./objects.ts";

/** Flows of a cluster, made where policies have their edges. At least one end is a pod. */
export class FlowGenerator {
  readonly #random: Random;
  readonly #cluster: ClusterObjects;
  readonly #ends: ReturnType<typeof knownAddresses>;
  readonly #ports: readonly number[];
  readonly #pods;

  constructor(random: Random, cluster: ClusterObjects) {
    this.#random = random;
    this.#cluster = cluster;
    this.#pods = cluster.pods.filter((pod) => isNetworkPod(pod) && addressesOfPod(pod).length > 0);
    const networks = cluster.policies.flatMap(networksOf);
    this.#ends = [...new Set([...knownAddresses(cluster), ...networks.flatMap((text) => edgesOf(parsePrefix(text)))])];
    this.#ports = portsWorthTrying(cluster);
  }

  /** Undefined: the cluster has no pod. */
  next(): Flow | undefined {
    const random = this.#random;
    if (this.#pods.length === 0) return undefined;
    const pod = pick(random, this.#pods);
    const own = { pod: podName(pod), address: pick(random, addressesOfPod(pod)) };
    const family = familyOf(own.address);
    const others = this.#ends.filter((address) => familyOf(address) === family);
    const addresses = this.#pods.flatMap(addressesOfPod).filter((address) => familyOf(address) === family);
    const address = oneIn(random, 2) ? pick(random, addresses) : pick(random, others);
    const other = partyOf(this.#cluster, address);
    const protocol = oneIn(random, 8) ? pick(random, ["ICMP", "GRE"] as const) : pick(random, words.protocols);
    const port = protocol === "ICMP" || protocol === "GRE" ? 0 : pick(random, this.#ports);
    return oneIn(random, 2) ? { from: own, to: other, protocol, port } : { from: other, to: own, protocol, port };
  }
}

function networksOf(policy: PolicyObject): string[] {
  if (policy.kind === "ClusterNetworkPolicy") {
    return (policy.spec.egress ?? []).flatMap(({ to = [] }) => to.flatMap(({ networks = [] }) => networks));
  }
  const peers = [
    ...(policy.spec.ingress ?? []).flatMap(({ from = [] }) => from),
    ...(policy.spec.egress ?? []).flatMap(({ to = [] }) => to),
  ];
  return peers.flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : [ipBlock.cidr, ...(ipBlock.except ?? [])]));
}

/** Every number that stands anywhere in the objects, and its neighbours. */
function portsWorthTrying(cluster: ClusterObjects): number[] {
  const numbers = new Set<number>([80, 22]);
  const collect = (value: unknown): void => {
    if (typeof value === "number" && value <= 65535)
      for (const near of [value - 1, value, value + 1]) numbers.add(near);
    else if (typeof value === "object" && value !== null) for (const part of Object.values(value)) collect(part);
  };
  collect(cluster.policies.map(({ spec }) => [spec.ingress, spec.egress]));
  collect(cluster.pods.map(({ spec }) => spec));
  return [...numbers].filter((port) => port >= 1 && port <= 65535);
}

/** For flows written by hand. */
export const flowBetween = (
  cluster: ClusterObjects,
  from: string,
  to: string,
  protocol: Flow["protocol"],
  port = 0,
): Flow => ({
  from: partyOf(cluster, parseAddress(from)),
  to: partyOf(cluster, parseAddress(to)),
  protocol,
  port,
});
