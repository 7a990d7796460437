import type { Address } from "../../base/address.ts";
import type { Problem } from "../../base/problem.ts";
import type { EndpointName, PolicyModel } from "../../model/policy.ts";
import type { PolicyModelChange } from "../../model/policy-inputs.ts";
import type {
  AddressRow,
  GroupNumber,
  NetworkRow,
  PolicyChange,
  PolicyState,
  PortRow,
} from "../../model/policy-state.ts";
import { Classes } from "./classes.ts";
import { DecisionNumbers } from "./decision-numbers.ts";
import { DecisionRows } from "./decision-rows.ts";
import { FactsInUse } from "./facts-in-use.ts";
import { type Group, LocalGroups } from "./local-groups.ts";
import { networkOf } from "./lookup.ts";
import { claimantsAt, type Place, Population } from "./population.ts";
import { PolicyProblems } from "./problems.ts";
import { TrackedMap } from "./tracked-map.ts";
import { TraitKeeper } from "./trait-keeper.ts";

export interface PolicyCompilerOptions {
  /** The node whose kernel the state is for. */
  readonly node: string;
  /** What becomes of endpoints of which nothing is known. Default: deny. */
  readonly unknownEndpoints?: "deny" | "allow";
  /** What a restarted agent finds in the kernel: numbers are kept wherever that leaves rows as they are. */
  readonly held?: HeldPolicy;
}

export interface HeldPolicy {
  readonly addresses: ReadonlyMap<Address, AddressRow>;
  readonly networks: readonly NetworkRow[];
  readonly ports: PolicyState["ports"];
  /** Those of the verdicts, and those that connections still bear. */
  readonly decisions: PolicyState["verdicts"];
}

/**
 * From the model to what one node's kernel must know of policy, at the cost of what changes. It reads the live model when it updates, and
 * is told which entries may be other, never what they are: news that come late, twice or in any order do no harm.
 */
export class PolicyCompiler {
  readonly #model: PolicyModel;
  readonly #attached = new Map<EndpointName, readonly Address[]>();
  readonly #stale = new Set<EndpointName>();
  readonly #numbers: DecisionNumbers;
  readonly #problems: PolicyProblems;
  readonly #facts = new FactsInUse();
  readonly #population: Population;
  readonly #traits = new TraitKeeper(this.#facts);
  readonly #groups: LocalGroups;
  readonly #classes = new Classes(this.#facts);
  readonly #rows: DecisionRows;
  readonly #addresses = new TrackedMap<Address, AddressRow>(sameRow);
  /** By number. */
  readonly #listed = new Map<GroupNumber, Group>();
  #networks: readonly NetworkRow[] = [];
  /** Rows that are there before our own: at the first update, the kernel's. */
  #held: HeldPolicy | undefined;
  #started = false;

  constructor(model: PolicyModel, options: PolicyCompilerOptions) {
    this.#model = model;
    this.#held = options.held;
    this.#numbers = new DecisionNumbers(options.held?.decisions);
    this.#rows = new DecisionRows(this.#numbers);
    this.#problems = new PolicyProblems(model);
    this.#population = new Population(model, options.node, this.#attached);
    this.#groups = new LocalGroups(model, (name) => this.#traits.peerPorts(name), options.unknownEndpoints === "allow");
  }

  /** As of the last `update`. Live: it changes with the next. */
  get state(): PolicyState {
    const { ports, decisions, verdicts } = this.#rows;
    return { addresses: this.#addresses, networks: this.#networks, ports, decisions, verdicts };
  }

  /** What every number means that a connection may bear, and how to forget those that none bears any more. */
  get decisionNumbers(): Pick<DecisionNumbers, "decisions" | "unused" | "forget"> {
    return this.#numbers;
  }

  /** What could not be done as it was meant, as of the last `update`. */
  get problems(): readonly Problem[] {
    return this.#problems.all;
  }

  /** Which endpoints are joined to this node, by this node's own knowledge, and with which addresses. */
  get attached(): ReadonlyMap<EndpointName, readonly Address[]> {
    return this.#attached;
  }

  /**
   * The endpoint is joined to this node with these addresses, whatever the model says of them, and whether it knows the endpoint or not:
   * as long as it does not, the endpoint is denied. Takes effect with the next `update`.
   */
  attach(endpoint: EndpointName, addresses: readonly Address[]): void {
    this.#attached.set(endpoint, addresses);
    this.#stale.add(endpoint);
  }

  detach(endpoint: EndpointName): void {
    if (this.#attached.delete(endpoint)) this.#stale.add(endpoint);
  }

  /**
   * @param change what of the model may be other than at the last update. At the first, everything is looked at.
   * @returns the rows that are other now. At the first update: all, and those of `held` that must go.
   */
  update(change: Partial<PolicyModelChange> = {}): PolicyChange {
    const { namespaces, endpoints, nodes, tiers, policies } = this.#started ? change : this.#everything();
    for (const name of policies ?? []) this.#groups.policy(name);
    const tiersToo = tiers !== undefined && tiers.size > 0;
    if (tiersToo) this.#groups.tiers();
    this.#problems.update(tiersToo ? [...this.#model.policies.keys(), ...(policies ?? [])] : (policies ?? []));
    const stale = [...(endpoints ?? []), ...this.#stale];
    this.#stale.clear();
    const population = this.#population.update(namespaces ?? [], stale, nodes ?? []);
    this.#meet(population.parties);
    for (const place of population.places) {
      this.#groups.place(place);
      this.#classes.place(place);
    }

    const groups = this.#groups.settle(({ place: { address }, direction }) => {
      const row = (this.#held?.addresses ?? this.#addresses).get(address);
      return row === undefined ? [] : [[row[direction], 1]];
    });
    const listed = new Map<GroupNumber, Group | undefined>();
    for (const [number, content] of groups.numbers) {
      listed.set(number, content === undefined ? undefined : this.#groups.groupOf(content));
    }
    for (const group of listed.values()) for (const [key, fact] of group?.facts ?? []) this.#facts.acquire(key, fact);
    for (const [number, group] of listed) {
      for (const key of this.#listed.get(number)?.facts.keys() ?? []) this.#facts.release(key);
      if (group === undefined) this.#listed.delete(number);
      else this.#listed.set(number, group);
    }

    const facts = this.#facts.settle();
    for (const party of this.#traits.follow(facts)) this.#classes.party(party);
    const classes = this.#classes.settle(facts, {
      at: (address) => (this.#held?.addresses ?? this.#addresses).get(address)?.class,
      ofNetwork: (address) => networkOf(this.#held?.networks ?? this.#networks, address)?.class,
    });

    this.#rows.update(listed, classes.classes, (group) => heldPorts(this.#held, group));
    for (const place of population.places) this.#writeRow(place);
    for (const { place } of groups.members) this.#writeRow(place);
    for (const place of classes.places) this.#writeRow(place);
    return this.#takeChange(classes.networks);
  }

  #everything(): PolicyModelChange {
    this.#started = true;
    const { namespaces, endpoints, nodes, tiers, policies } = this.#model;
    return {
      namespaces: new Set(namespaces.keys()),
      endpoints: new Set([...endpoints.keys(), ...this.#attached.keys()]),
      nodes: new Set(nodes.keys()),
      tiers: new Set(tiers.keys()),
      policies: new Set(policies.keys()),
    };
  }

  #meet(parties: Iterable<Parameters<LocalGroups["party"]>[0]>): void {
    const met = [...parties];
    for (const party of met) this.#groups.party(party);
    const { changed, portNames } = this.#traits.meet(met);
    for (const party of changed) {
      this.#classes.party(party);
      if ("own" in party.claim && party.claim.own) this.#classes.own(party);
    }
    this.#groups.portNames(portNames);
  }

  /** A place's row is a function of its class and groups. */
  #writeRow(place: Place): void {
    const row = {
      class: this.#classes.numberOf(place),
      ingress: this.#groups.numberOf(place, "ingress"),
      egress: this.#groups.numberOf(place, "egress"),
    };
    const claimants = claimantsAt(place);
    // Even of no group: a pod on this node without a row is one that policy does not know, and is cut off.
    const isLocal = claimants.some(({ local }) => local);
    const isOwnNode = claimants.some(({ party: { claim } }) => "own" in claim && claim.own);
    if (isLocal || isOwnNode || this.#classes.isOfItsOwn(place)) this.#addresses.set(place.address, row);
    else this.#addresses.delete(place.address);
  }

  #takeChange(networksToo: boolean): PolicyChange {
    const networks = networksToo ? this.#classes.networks() : this.#networks;
    const sameNetworks = networks === this.#networks || sameNetworkRows(networks, this.#networks);
    this.#networks = networks;
    const gone = this.#held;
    this.#held = undefined;
    return {
      addresses: withGone(this.#addresses.takeChanges(), gone?.addresses, this.#addresses),
      ...(sameNetworks ? {} : { networks }),
      ports: withGone(this.#rows.ports.takeChanges(), gone?.ports, this.#rows.ports),
      decisions: this.#rows.decisions.takeChanges(),
      verdicts: withGone(this.#rows.verdicts.takeChanges(), gone?.decisions, this.#rows.verdicts),
    };
  }
}

const sameRow = (a: AddressRow, b: AddressRow): boolean =>
  a.class === b.class && a.ingress === b.ingress && a.egress === b.egress;

const sameNetworkRows = (a: readonly NetworkRow[], b: readonly NetworkRow[]): boolean =>
  a.length === b.length &&
  a.every((row, index) => {
    const other = b[index];
    return other !== undefined && row.first === other.first && row.last === other.last && row.class === other.class;
  });

function* heldPorts(held: HeldPolicy | undefined, group: GroupNumber): Iterable<PortRow> {
  for (const row of held?.ports.values() ?? []) if (row.group === group) yield row;
}

function withGone<K, V>(
  changes: ReadonlyMap<K, V | undefined>,
  held: ReadonlyMap<K, V> | undefined,
  now: ReadonlyMap<K, V>,
): ReadonlyMap<K, V | undefined> {
  if (held === undefined) return changes;
  const all = new Map(changes);
  for (const key of held.keys()) if (!now.has(key)) all.set(key, undefined);
  return all;
}

/** The state for a model as it is now. */
export function compilePolicy(
  model: PolicyModel,
  options: PolicyCompilerOptions,
  attached: ReadonlyMap<EndpointName, readonly Address[]> = new Map(),
): PolicyState {
  const compiler = new PolicyCompiler(model, options);
  for (const [endpoint, addresses] of attached) compiler.attach(endpoint, addresses);
  compiler.update();
  return compiler.state;
}
