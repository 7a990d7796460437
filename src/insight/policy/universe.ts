import { type Address, type Family, familyOf } from "../../base/address.ts";
import { baseOf, contains, lengthOf, type Prefix, prefixFamily, prefixOf, sizeOf } from "../../base/prefix.ts";
import type { EndpointName, Labels, PolicyModel, PolicyNode, WorkloadEndpoint } from "../../model/policy.ts";
import { type Used, usedBy } from "./used.ts";

/**
 * Addresses that no policy of the given models tells apart, as one: what holds for one of them holds for all. So a cluster of
 * 30,000 pods is as large as the number of ways in which its policies distinguish them.
 */
export interface Kind {
  readonly index: number;
  readonly family: Family;
  /** Those named by a policy that hold its addresses, the smallest first. */
  readonly networks: ReadonlySet<Prefix>;
  readonly who:
    | {
        readonly of: "workloads";
        readonly members: readonly EndpointName[];
        readonly sample: readonly WorkloadEndpoint[];
        /** One of its addresses. */
        readonly address: Address;
      }
    /** `own`: as seen by the pods that run on them; a second kind beside the one for all other pods. */
    | {
        readonly of: "nodes";
        readonly members: readonly string[];
        readonly sample: readonly PolicyNode[];
        readonly own: boolean;
      }
    /** Addresses of `network` that are neither in a smaller network nor a pod's or node's. */
    | { readonly of: "outside" };
}

export interface Universe {
  readonly models: readonly PolicyModel[];
  readonly kinds: readonly Kind[];
  /** Kinds of an endpoint's addresses; none for an endpoint that is not in all models. */
  readonly ofEndpoint: ReadonlyMap<EndpointName, readonly Kind[]>;
  /** By name of the node: kinds of its addresses, for all pods but its own. */
  readonly ofNode: ReadonlyMap<string, readonly Kind[]>;
  /** The kind of the same addresses as seen by the node's own pods. */
  readonly ownTwin: ReadonlyMap<Kind, Kind>;
}

/** The kinds of all these models together: a kind is one kind in each of them. `sample` of a kind has one member's entry per model. */
export function universeOf(models: readonly PolicyModel[]): Universe {
  const used = usedBy(models);
  const networks = new Networks(used.networks);
  const kinds: Kind[] = [];
  const add = (family: Family, network: Prefix | undefined, who: Kind["who"]): Kind => {
    const kind = { index: kinds.length, family, networks: networks.holding(network), who };
    kinds.push(kind);
    return kind;
  };

  const byKey = new Map<string, { readonly kind: Kind; readonly members: string[] }>();
  const join = (key: string, name: string, make: (members: string[]) => Kind): Kind => {
    const found = byKey.get(key);
    if (found !== undefined) {
      found.members.push(name);
      return found.kind;
    }
    const members = [name];
    const kind = make(members);
    byKey.set(key, { kind, members });
    return kind;
  };

  const ofEndpoint = new Map<EndpointName, Kind[]>();
  const [first] = models;
  for (const [name, endpoint] of first?.endpoints ?? []) {
    const sample = inAll(models, (model) => model.endpoints.get(name));
    if (sample === undefined) continue;
    const identity = JSON.stringify(sample.map((one) => identityOf(one, used)));
    ofEndpoint.set(
      name,
      endpoint.addresses.map((address) => {
        const [family, network] = [familyOf(address), networks.smallest(address)];
        return join(`w${family} ${network} ${identity}`, name, (members) =>
          add(family, network, { of: "workloads", members, sample, address }),
        );
      }),
    );
  }

  const ofNode = new Map<string, Kind[]>();
  const ownTwin = new Map<Kind, Kind>();
  for (const [name, node] of first?.nodes ?? []) {
    const sample = inAll(models, (model) => model.nodes.get(name));
    if (sample === undefined) continue;
    const identity = JSON.stringify(sample.map((one) => labelsOf(one.labels, used)));
    ofNode.set(
      name,
      node.addresses.map((address) => {
        const [family, network] = [familyOf(address), networks.smallest(address)];
        return join(`n${family} ${network} ${identity}`, name, (members) => {
          const kind = add(family, network, { of: "nodes", members, sample, own: false });
          ownTwin.set(kind, add(family, network, { of: "nodes", members, sample, own: true }));
          return kind;
        });
      }),
    );
  }

  for (const family of [4, 6] as const) add(family, undefined, { of: "outside" });
  for (const network of networks.withOwnSpace()) add(prefixFamily(network), network, { of: "outside" });
  return { models, kinds, ofEndpoint, ofNode, ownTwin };
}

/** The kind of an address that is no pod's and no node's. */
export function outsideKind(universe: Universe, address: Address): Kind | undefined {
  const family = familyOf(address);
  const candidates = universe.kinds.filter(
    ({ who, networks, family: of }) =>
      who.of === "outside" && of === family && [...networks].every((network) => contains(network, address)),
  );
  return candidates.sort((a, b) => b.networks.size - a.networks.size)[0];
}

function inAll<T>(models: readonly PolicyModel[], read: (model: PolicyModel) => T | undefined): T[] | undefined {
  const found = models.map(read).filter((one) => one !== undefined);
  return found.length === models.length ? found : undefined;
}

/** What policies can see of an endpoint, its address apart. */
const identityOf = (endpoint: WorkloadEndpoint, used: Used): unknown => [
  endpoint.namespace,
  labelsOf(endpoint.labels, used),
  used.serviceAccounts ? endpoint.serviceAccount : undefined,
  endpoint.ports
    .filter(({ name }) => used.portNames.has(name))
    .map(({ name, protocol, port }) => `${name} ${protocol} ${port}`)
    .sort(),
  endpoint.unknown === true,
];

const labelsOf = (labels: Labels, used: Used): unknown =>
  Object.entries(labels)
    .filter(([key]) => used.labels.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** Networks nest or are disjoint, so the smallest that holds an address tells all that hold it. */
class Networks {
  readonly #prefixes: readonly Prefix[];
  readonly #known: ReadonlySet<string>;
  /** Longest first. */
  readonly #lengths: Readonly<Record<Family, readonly number[]>>;

  constructor(prefixes: ReadonlySet<Prefix>) {
    this.#prefixes = [...prefixes];
    this.#known = prefixes;
    const lengths = (family: Family) =>
      [...new Set(this.#prefixes.filter((prefix) => prefixFamily(prefix) === family).map(lengthOf))].sort(
        (a, b) => b - a,
      );
    this.#lengths = { 4: lengths(4), 6: lengths(6) };
  }

  smallest(address: Address): Prefix | undefined {
    for (const length of this.#lengths[familyOf(address)]) {
      const prefix = prefixOf(address, length);
      if (this.#known.has(prefix)) return prefix;
    }
    return undefined;
  }

  readonly #chains = new Map<Prefix | undefined, ReadonlySet<Prefix>>([[undefined, new Set()]]);

  /** The network and all that hold it, the smallest first. */
  holding(network: Prefix | undefined): ReadonlySet<Prefix> {
    const known = this.#chains.get(network);
    if (known !== undefined || network === undefined) return known ?? new Set();
    const chain = new Set([network, ...this.holding(this.#parent(network))]);
    this.#chains.set(network, chain);
    return chain;
  }

  /** Those that the smaller ones within them do not fill. */
  withOwnSpace(): readonly Prefix[] {
    const filled = new Map<Prefix, bigint>();
    for (const prefix of this.#prefixes) {
      const parent = this.#parent(prefix);
      if (parent !== undefined) filled.set(parent, (filled.get(parent) ?? 0n) + sizeOf(prefix));
    }
    return this.#prefixes.filter((prefix) => (filled.get(prefix) ?? 0n) < sizeOf(prefix));
  }

  #parent(prefix: Prefix): Prefix | undefined {
    for (const length of this.#lengths[prefixFamily(prefix)]) {
      if (length >= lengthOf(prefix)) continue;
      const parent = prefixOf(baseOf(prefix), length);
      if (this.#known.has(parent)) return parent;
    }
    return undefined;
  }
}
