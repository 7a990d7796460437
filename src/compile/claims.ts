import { baseOf, covers, lengthOf, type Prefix, prefixFamily, prefixOf } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";
import type { ClusterNetwork, Lease } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";

/** The peers whose leases can be trusted, with the subnets that are theirs beyond doubt. Sorted by node name. */
export interface ValidPeers {
  readonly peers: readonly Lease[];
  readonly problems: readonly Problem[];
}

/**
 * Checks what the peers claim against the cluster's network, against this node and against each other. A lease carries
 * no time of its claim, so of two nodes that claim the same addresses the first by name keeps them, on every node alike;
 * only a node's own claim goes before, for its pods use those addresses already.
 */
export function validatePeers(network: ClusterNetwork, local: LocalNode, leases: readonly Lease[]): ValidPeers {
  const problems: Problem[] = [];
  const peers: Lease[] = [];
  const claims = new Claims([...local.subnets, ...leases.flatMap((lease) => lease.subnets)]);
  for (const subnet of local.subnets) claims.claim(subnet, local.name);
  const own = new Set([local.underlay.ipv4, local.underlay.ipv6]);

  const others = leases.filter((lease) => lease.node !== local.name).sort((a, b) => (a.node < b.node ? -1 : 1));
  for (const lease of others) {
    const stolen = lease.addresses.find((address) => own.has(address));
    if (stolen !== undefined) {
      problems.push({
        severity: "error",
        subject: lease.node,
        message: `node ${lease.node} claims this node's own address ${stolen}; it is left out`,
        remedy: `delete ${lease.node}'s lease if this machine was called so before, else give the machines different addresses`,
      });
      continue;
    }
    const subnets = lease.subnets.filter((subnet) => {
      const outside = outsideNetwork(network, lease.node, subnet);
      if (outside !== undefined) {
        problems.push(outside);
        return false;
      }
      const holder = claims.claim(subnet, lease.node);
      if (holder === undefined) return true;
      problems.push({
        severity: "error",
        subject: lease.node,
        message: `nodes ${holder.node} and ${lease.node} claim the same addresses, ${holder.subnet} and ${subnet}; ${holder.node} keeps them`,
        remedy: `delete the lease of ${lease.node}; its agent claims a free subnet, and its pods must be made anew`,
      });
      return false;
    });
    if (subnets.length > 0) peers.push(subnets.length === lease.subnets.length ? lease : { ...lease, subnets });
  }
  return { peers, problems };
}

function outsideNetwork(network: ClusterNetwork, node: string, subnet: Prefix): Problem | undefined {
  const family = prefixFamily(subnet);
  const range = family === 4 ? network.ipv4 : network.ipv6;
  if (range !== undefined && covers(range.network, subnet)) return undefined;
  return {
    severity: "error",
    subject: node,
    message:
      range === undefined
        ? `node ${node} claims ${subnet}, but this node's configuration has no IPv${family} network`
        : `node ${node} claims ${subnet}, which is outside the cluster's network ${range.network}`,
    remedy: `give all nodes the same net-conf.json; if ${node}'s is right, this node follows once its agent has read it`,
  };
}

interface Claim {
  readonly node: string;
  readonly subnet: Prefix;
}

/** Disjoint prefixes. A claim costs one look-up for each prefix length in use, not one for each other claim. */
class Claims {
  readonly #lengths: ReadonlyMap<4 | 6, readonly number[]>;
  readonly #exact = new Map<Prefix, Claim>();
  /** A claim inside a wider prefix of one of the lengths in use. */
  readonly #inside = new Map<Prefix, Claim>();

  constructor(all: readonly Prefix[]) {
    const lengths = (family: 4 | 6) => [
      ...new Set(all.filter((subnet) => prefixFamily(subnet) === family).map(lengthOf)),
    ];
    this.#lengths = new Map([
      [4, lengths(4)],
      [6, lengths(6)],
    ]);
  }

  /** Makes the claim, or returns the one that it overlaps. */
  claim(subnet: Prefix, node: string): Claim | undefined {
    const wider = this.#widerThan(subnet);
    const holder =
      this.#exact.get(subnet) ??
      this.#inside.get(subnet) ??
      wider.map((prefix) => this.#exact.get(prefix)).find((claim) => claim !== undefined);
    if (holder !== undefined) return holder;
    const claim = { node, subnet };
    this.#exact.set(subnet, claim);
    for (const prefix of wider) if (!this.#inside.has(prefix)) this.#inside.set(prefix, claim);
    return undefined;
  }

  #widerThan(subnet: Prefix): readonly Prefix[] {
    const lengths = this.#lengths.get(prefixFamily(subnet)) ?? [];
    return lengths.filter((length) => length < lengthOf(subnet)).map((length) => prefixOf(baseOf(subnet), length));
  }
}
