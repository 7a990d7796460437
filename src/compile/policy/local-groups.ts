import type { Direction, NamedPort, Policy, PolicyModel, PolicyRule } from "../../model/policy.ts";
import { policyName } from "../../model/policy.ts";
import { endpointMatches } from "./claim.ts";
import type { Fact, FactKey } from "./fact.ts";
import { MatchIndex } from "./match-index.ts";
import { Partition, type Settled } from "./partition.ts";
import { PartyIndex } from "./party-index.ts";
import { claimantsAt, type Party, type Place } from "./population.ts";
import { type Program, programFor, sidesOf } from "./program.ts";
import { forEachLeaf, yes } from "./truth.ts";

/** One direction of an address of this node's endpoints. */
export interface LocalEnd {
  readonly place: Place;
  readonly direction: Direction;
}

export interface Group {
  readonly programs: readonly Program[];
  readonly facts: ReadonlyMap<FactKey, Fact>;
}

interface FiledPolicy {
  readonly policy: Policy;
  /** Parties with local endpoints that it selects. */
  readonly parties: Set<Party>;
}

/** The numbers that ends have at the moment. */
export type HeldGroups = (end: LocalEnd) => Iterable<readonly [number: number, weight: number]>;

/**
 * Which policies select which endpoints of this node, and which of those endpoints are of one group: those for which programs are
 * alike. Policies that select none of them are kept in an index, and cost nothing else.
 */
export class LocalGroups {
  readonly #model: PolicyModel;
  readonly #peerPorts: (name: string) => readonly NamedPort[];
  readonly #allowUnknown: boolean;
  readonly #policies = new Map<string, FiledPolicy>();
  readonly #subjects = new MatchIndex<FiledPolicy>();
  readonly #parties = new PartyIndex();
  readonly #ends = new Map<Place, readonly [LocalEnd, LocalEnd]>();
  readonly #groups = new Partition<LocalEnd>(1);
  readonly #made = new Map<string, Group>();
  readonly #portUsers = new Map<string, Set<Party>>();
  readonly #dirtyParties = new Set<Party>();
  readonly #dirtyPlaces = new Set<Place>();

  constructor(model: PolicyModel, peerPorts: (name: string) => readonly NamedPort[], allowUnknown: boolean) {
    this.#model = model;
    this.#peerPorts = peerPorts;
    this.#allowUnknown = allowUnknown;
  }

  /** As of the last `settle`. */
  numberOf(place: Place, direction: Direction): number {
    const ends = this.#ends.get(place);
    return ends === undefined ? 0 : this.#groups.numberOf(ends[direction === "ingress" ? 0 : 1]);
  }

  /** The group of that content, as of the last `settle`. */
  groupOf(content: string): Group | undefined {
    return this.#made.get(content);
  }

  policy(name: string): void {
    const before = this.#policies.get(name);
    const policy = this.#model.policies.get(name);
    if (before?.policy === policy) return;
    if (before !== undefined) {
      this.#policies.delete(name);
      this.#subjects.delete(before.policy.subject, before);
      for (const party of before.parties) {
        party.policies.delete(before.policy);
        this.#dirtyParties.add(party);
      }
    }
    if (policy === undefined) return;
    const filed = { policy, parties: new Set(this.#parties.matching(policy.subject)) };
    this.#policies.set(name, filed);
    this.#subjects.add(policy.subject, filed);
    for (const party of filed.parties) {
      party.policies.add(policy);
      this.#dirtyParties.add(party);
    }
  }

  /** Tiers are few and change seldom: all programs are made anew. */
  tiers(): void {
    for (const party of this.#parties.all) this.#dirtyParties.add(party);
  }

  portNames(names: Iterable<string>): void {
    for (const name of names) {
      for (const party of this.#portUsers.get(name) ?? []) this.#dirtyParties.add(party);
      this.#portUsers.delete(name);
    }
  }

  /** It has got its first local endpoint, or lost the last. */
  party(party: Party): void {
    if (party.locals > 0 === this.#parties.all.has(party)) return;
    this.#dirtyParties.add(party);
    const { claim } = party;
    if (party.locals === 0) {
      this.#parties.delete(party);
      for (const policy of party.policies) this.#policies.get(policyName(policy.id))?.parties.delete(party);
      party.policies.clear();
      return;
    }
    this.#parties.add(party);
    if ("own" in claim || claim.known === undefined) return;
    for (const filed of this.#subjects.candidates(claim.namespace, claim.known)) {
      if (endpointMatches(filed.policy.subject, claim) !== yes) continue;
      filed.parties.add(party);
      party.policies.add(filed.policy);
    }
  }

  place(place: Place): void {
    this.#dirtyPlaces.add(place);
  }

  settle(held: HeldGroups): Settled<LocalEnd> {
    for (const party of this.#dirtyParties) {
      party.programs.clear();
      for (const place of party.places) this.#dirtyPlaces.add(place);
    }
    this.#dirtyParties.clear();
    const contents = new Map<string, Group>();
    for (const place of this.#dirtyPlaces) this.#regroup(place, contents);
    this.#dirtyPlaces.clear();
    const settled = this.#groups.settle(held);
    for (const [content, group] of contents) if (!this.#made.has(content)) this.#made.set(content, group);
    for (const content of settled.gone) this.#made.delete(content);
    return settled;
  }

  #regroup(place: Place, contents: Map<string, Group>): void {
    const locals = claimantsAt(place).filter(({ local }) => local);
    const before = this.#ends.get(place);
    if (locals.length === 0 && before === undefined) return;
    const ends = before ?? [
      { place, direction: "ingress" },
      { place, direction: "egress" },
    ];
    if (locals.length === 0) this.#ends.delete(place);
    else this.#ends.set(place, ends);
    for (const end of ends) {
      const programs = new Map<string, Program>();
      for (const { party } of locals) {
        const program = this.#program(party, place, end.direction);
        if (program !== undefined) programs.set(program.key, program);
      }
      const keys = [...programs.keys()].sort();
      const content = keys.length === 0 ? undefined : keys.length === 1 ? keys[0] : JSON.stringify(keys);
      this.#groups.set(end, content);
      if (content !== undefined && !contents.has(content)) contents.set(content, this.#group(keys, programs));
    }
  }

  #group(keys: readonly string[], byKey: ReadonlyMap<string, Program>): Group {
    const programs = keys.flatMap((key) => byKey.get(key) ?? []);
    const facts = new Map(programs.flatMap((program) => [...program.facts]));
    return { programs, facts };
  }

  #program(party: Party, place: Place, direction: Direction): Program | undefined {
    const { claim } = party;
    if ("own" in claim) return undefined;
    const policies = [...party.policies];
    const where = policies.some((policy) => asksOwnAddress(policy[direction], direction))
      ? place.address
      : place.family;
    const key = `${direction} ${where}`;
    if (party.programs.has(key)) return party.programs.get(key);
    const program = programFor({ claim, place: place.address, family: place.family }, policies, direction, {
      tiers: this.#model.tiers,
      allowUnknown: this.#allowUnknown,
      peerPorts: (name) => {
        const users = this.#portUsers.get(name);
        if (users === undefined) this.#portUsers.set(name, new Set([party]));
        else users.add(party);
        return this.#peerPorts(name);
      },
    });
    party.programs.set(key, program);
    return program;
  }
}

function asksOwnAddress(rules: readonly PolicyRule[] | undefined, direction: Direction): boolean {
  return (rules ?? []).some((rule) => {
    const [, own] = sidesOf(rule, direction);
    let asks = false;
    if (own !== undefined) {
      forEachLeaf(own, (leaf) => {
        asks ||= "networks" in leaf;
      });
    }
    return asks;
  });
}
