import { type Address, type Family, familyOf } from "../../base/address.ts";
import type { EndpointName, Labels, Policy, PolicyModel } from "../../model/policy.ts";
import type { Claim } from "./claim.ts";
import { type Attached, endpointClaim } from "./claims.ts";
import type { Trait } from "./facts-in-use.ts";
import type { Program } from "./program.ts";

/** All claimants of whom the same is known: what holds for one holds for all. */
export class Party {
  /** Says all that is known of them: the same on every node, in every order of events. */
  readonly key: string;
  readonly claim: Claim;
  readonly places = new Set<Place>();
  readonly traits = new Set<Trait>();
  /** How many claimants it stands for, and how many of them are endpoints of this node. */
  size = 0;
  locals = 0;
  /** Those that select it, if it has locals. */
  readonly policies = new Set<Policy>();
  /** What its policies come to, by direction and place; emptied when they change. */
  readonly programs = new Map<string, Program | undefined>();

  constructor(key: string, claim: Claim) {
    this.key = key;
    this.claim = claim;
  }
}

/** An address that somebody claims. */
export interface Place {
  readonly address: Address;
  readonly family: Family;
  /** Usually one. */
  claimants: readonly Claimant[];
}

export interface Claimant {
  readonly name: string;
  readonly party: Party;
  readonly addresses: readonly Address[];
  readonly local: boolean;
  /** This node itself gave it its addresses. */
  readonly certain: boolean;
}

export interface PopulationChange {
  readonly places: ReadonlySet<Place>;
  /** Parties that came, went, or got their first or lost their last local endpoint. */
  readonly parties: ReadonlySet<Party>;
}

/** Who is at which address, by the model and by what is attached to this node. */
export class Population {
  readonly #model: PolicyModel;
  readonly #node: string;
  readonly #attached: Attached;
  readonly #endpoints = new Map<EndpointName, Claimant>();
  readonly #nodes = new Map<string, Claimant>();
  readonly #parties = new Map<string, Party>();
  readonly #places = new Map<Address, Place>();
  readonly #byNamespace = new Map<string, Set<EndpointName>>();
  readonly #namespaceKeys = new Map<string, { readonly labels: Labels; readonly key: string }>();
  #dirtyPlaces = new Set<Place>();
  #dirtyParties = new Set<Party>();

  constructor(model: PolicyModel, node: string, attached: Attached) {
    this.#model = model;
    this.#node = node;
    this.#attached = attached;
  }

  get places(): ReadonlyMap<Address, Place> {
    return this.#places;
  }

  get parties(): Iterable<Party> {
    return this.#parties.values();
  }

  /** Looks at these again. */
  update(namespaces: Iterable<string>, endpoints: Iterable<EndpointName>, nodes: Iterable<string>): PopulationChange {
    for (const name of nodes) this.#replace(this.#nodes, name, this.#nodeNow(name));
    for (const namespace of namespaces) {
      for (const name of [...(this.#byNamespace.get(namespace) ?? [])]) this.#endpoint(name);
    }
    for (const name of endpoints) this.#endpoint(name);
    const change = { places: this.#dirtyPlaces, parties: this.#dirtyParties };
    this.#dirtyPlaces = new Set();
    this.#dirtyParties = new Set();
    return change;
  }

  #endpoint(name: EndpointName): void {
    const now = this.#endpointNow(name);
    const namespace = name.slice(0, name.indexOf("/"));
    const names = this.#byNamespace.get(namespace);
    if (now === undefined) {
      names?.delete(name);
      if (names?.size === 0) this.#byNamespace.delete(namespace);
    } else if (names === undefined) this.#byNamespace.set(namespace, new Set([name]));
    else names.add(name);
    this.#replace(this.#endpoints, name, now);
  }

  #endpointNow(name: EndpointName): Claimant | undefined {
    const endpoint = this.#model.endpoints.get(name);
    const attached = this.#attached.get(name);
    if (endpoint === undefined && attached === undefined) return undefined;
    return {
      name,
      party: this.#party(endpointClaim(this.#model, name, endpoint)),
      addresses: attached ?? endpoint?.addresses ?? [],
      local: attached !== undefined || endpoint?.node === this.#node,
      certain: attached !== undefined,
    };
  }

  #nodeNow(name: string): Claimant | undefined {
    const node = this.#model.nodes.get(name);
    if (node === undefined) return undefined;
    const party = this.#party({ node, own: name === this.#node });
    return { name: `node ${name}`, party, addresses: node.addresses, local: false, certain: false };
  }

  #replace(claimants: Map<string, Claimant>, name: string, now: Claimant | undefined): void {
    const before = claimants.get(name);
    if (before !== undefined && now !== undefined && sameClaimant(before, now)) return;
    if (now !== undefined) {
      claimants.set(name, now);
      this.#count(now, 1);
    } else claimants.delete(name);
    if (before !== undefined) this.#count(before, -1);
    for (const address of new Set([...(before?.addresses ?? []), ...(now?.addresses ?? [])])) {
      this.#reclaim(address, before, now?.addresses.includes(address) === true ? now : undefined);
    }
  }

  #count({ party, local }: Claimant, by: 1 | -1): void {
    const before = [party.size > 0, party.locals > 0];
    party.size += by;
    if (local) party.locals += by;
    if (party.size === 0) this.#parties.delete(party.key);
    else this.#parties.set(party.key, party);
    if (before[0] !== party.size > 0 || before[1] !== party.locals > 0) this.#dirtyParties.add(party);
  }

  #reclaim(address: Address, before: Claimant | undefined, now: Claimant | undefined): void {
    const place = this.#places.get(address) ?? { address, family: familyOf(address), claimants: [] };
    const others = place.claimants.filter((claimant) => claimant !== before);
    for (const { party } of place.claimants) party.places.delete(place);
    place.claimants = now === undefined ? others : [...others, now];
    for (const { party } of place.claimants) party.places.add(place);
    if (place.claimants.length === 0) this.#places.delete(address);
    else this.#places.set(address, place);
    this.#dirtyPlaces.add(place);
  }

  #party(claim: Claim): Party {
    const key = this.#keyOf(claim);
    return this.#parties.get(key) ?? new Party(key, claim);
  }

  #keyOf(claim: Claim): string {
    if ("own" in claim) return `node ${claim.own ? "own " : ""}${sortedLabels(claim.node?.labels ?? {})}`;
    const { namespace, known } = claim;
    if (known === undefined) return `? ${namespace}`;
    const account = JSON.stringify(known.serviceAccount ?? null);
    const ports = known.ports.map(({ name, protocol, port }) => `${protocol}/${port}/${name}`).sort();
    return `${this.#namespaceKey(namespace, known.namespaceLabels)} ${sortedLabels(known.labels)} ${account} ${JSON.stringify(ports)}`;
  }

  #namespaceKey(namespace: string, labels: Labels): string {
    const held = this.#namespaceKeys.get(namespace);
    if (held?.labels === labels) return held.key;
    const key = `${namespace} ${sortedLabels(labels)}`;
    this.#namespaceKeys.set(namespace, { labels, key });
    return key;
  }
}

/** Who counts: if this node gave the address to somebody, only they. In an order that is the same everywhere. */
export function claimantsAt({ claimants }: Place): readonly Claimant[] {
  if (claimants.length < 2) return claimants;
  const certain = claimants.filter((claimant) => claimant.certain);
  const counting = certain.length > 0 ? certain : [...claimants];
  return counting.sort((a, b) => compare(a.party.key, b.party.key) || compare(a.name, b.name));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const sameClaimant = (a: Claimant, b: Claimant): boolean =>
  a.party === b.party && a.local === b.local && a.certain === b.certain && sameAddresses(a.addresses, b.addresses);

const sameAddresses = (a: readonly Address[], b: readonly Address[]): boolean =>
  a === b || (a.length === b.length && a.every((address, index) => address === b[index]));

const sortedLabels = (labels: Labels): string => {
  const entries = Object.entries(labels);
  if (entries.length > 1) entries.sort(([a], [b]) => compare(a, b));
  return JSON.stringify(entries);
};
