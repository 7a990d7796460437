import { type Address, bytesOf } from "../../base/address.ts";
import { baseOf, lengthOf, type Prefix, prefixOf } from "../../base/prefix.ts";
import { PrefixTree } from "../../base/prefix-tree.ts";
import { type ClassNumber, type NetworkRow, ownNodeClass } from "../../model/policy-state.ts";
import { type Cell, Cells } from "./cells.ts";
import type { Facts } from "./decide.ts";
import type { FactKey } from "./fact.ts";
import { type FactsChange, type FactsInUse, prefixesOf, type Trait, type UsedFact } from "./facts-in-use.ts";
import { Partition } from "./partition.ts";
import { claimantsAt, type Party, type Place } from "./population.ts";
import type { Truth } from "./truth.ts";

/** Addresses for which the same traits hold: claimants of the same profiles, in one cell of the address space. */
interface Spot {
  readonly key: string;
  /** Of each claimant; none: the cell's addresses that nobody claims. */
  readonly profiles: readonly number[];
  readonly cell: Cell<Trait>;
  readonly places: Set<Place>;
  /** Which classes' rows have come into it since the last `settle`, and how many. */
  readonly joined: Map<ClassNumber, number>;
  content: string;
  peers: readonly Facts[];
}

/** Parties with the same traits. */
interface Profile {
  readonly traits: readonly Trait[];
  readonly spots: Set<Spot>;
}

export interface ClassesChange {
  /** Whose class has another number. */
  readonly places: ReadonlySet<Place>;
  readonly networks: boolean;
  /** What numbers stand for now, where it is another; undefined: for nothing. */
  readonly classes: ReadonlyMap<ClassNumber, readonly Facts[] | undefined>;
}

export interface HeldClasses {
  at(address: Address): ClassNumber | undefined;
  ofNetwork(address: Address): ClassNumber | undefined;
}

/**
 * The class of every address: which facts hold there. Parties fall into profiles by their traits, the address space into cells by
 * prefixes, addresses into spots by both, and spots into classes by the facts that come of the traits.
 */
export class Classes {
  readonly #facts: FactsInUse;
  readonly #profiles = new Partition<Party>(1);
  readonly #byNumber = new Map<number, Profile>();
  readonly #cells = new Cells<Trait>();
  readonly #spots = new Map<string, Spot>();
  readonly #spotOf = new Map<Place, Spot>();
  readonly #spotsIn = new Map<Cell<Trait>, Set<Spot>>();
  readonly #nearby = new PrefixTree<Set<Place>>();
  readonly #blocks = new Map<string, { readonly prefix: Prefix; readonly places: Set<Place> }>();
  readonly #classes = new Partition<Spot>(ownNodeClass + 1, ({ places, profiles }) =>
    profiles.length === 0 ? places.size + 1 : places.size,
  );
  readonly #dirtyParties = new Set<Party>();
  readonly #dirtyPlaces = new Set<Place>();
  readonly #dirtySpots = new Set<Spot>();
  readonly #joinedInto = new Set<Spot>();
  /** What class 1 stands for. */
  #ownRest = "";
  #ownTraits: ReadonlySet<Trait> = new Set();
  #ownParty: Party | undefined;

  constructor(facts: FactsInUse) {
    this.#facts = facts;
  }

  /** As of the last `settle`. */
  numberOf(place: Place): ClassNumber {
    const spot = this.#spotOf.get(place);
    return spot === undefined ? 0 : this.#classes.numberOf(spot);
  }

  /** Whether the class of the place is not that of its network, so that it needs a row. */
  isOfItsOwn(place: Place): boolean {
    const spot = this.#spotOf.get(place);
    return spot !== undefined && (spot.profiles.length > 1 || spot.profiles[0] !== 0);
  }

  /** Its traits are other, or it is new or gone. */
  party(party: Party): void {
    this.#dirtyParties.add(party);
  }

  /** Its claimants are other. */
  place(place: Place): void {
    this.#dirtyPlaces.add(place);
  }

  /** What class 1 is made of: the node that we are, which has come or gone. */
  own(party: Party): void {
    if (party.size > 0) this.#ownParty = party;
    else if (this.#ownParty === party) this.#ownParty = undefined;
  }

  networks(): readonly NetworkRow[] {
    const ranges = this.#cells.ranges((cell) => {
      const spot = this.#spots.get(spotKey([], cell));
      return spot === undefined ? 0 : this.#classes.numberOf(spot);
    });
    return ranges.flatMap(({ first, last, value }) => (value === 0 ? [] : [{ first, last, class: value }]));
  }

  /** @param held the classes that addresses have at the moment. */
  settle(facts: FactsChange, held: HeldClasses): ClassesChange {
    const cut = this.#cut(facts);
    this.#reprofile(facts);
    for (const place of this.#dirtyPlaces) this.#replace(place, held);
    for (const spot of this.#dirtySpots) this.#judge(spot);
    const places = new Set(this.#dirtyPlaces);
    this.#dirtyPlaces.clear();
    this.#dirtySpots.clear();
    const settled = this.#classes.settle((spot) => this.#numbersIn(spot, held));
    for (const spot of this.#joinedInto) spot.joined.clear();
    this.#joinedInto.clear();
    let networks = cut;
    for (const spot of settled.members) {
      for (const place of spot.places) places.add(place);
      networks ||= spot.profiles.length === 0;
    }
    const classes = new Map<ClassNumber, readonly Facts[] | undefined>();
    for (const [number, content] of settled.numbers) {
      const [spot] = content === undefined ? [] : this.#classes.membersOf(content);
      classes.set(number, spot?.peers);
    }
    const rest = this.#judgeOwnRest(facts);
    if (rest !== undefined) classes.set(ownNodeClass, rest);
    return { places, networks, classes };
  }

  /** Cuts the address space anew where prefixes came or went. @returns whether it did. */
  #cut({ born, died, touched }: FactsChange): boolean {
    let cut = false;
    for (const trait of died) {
      const { inside, except } = prefixesOf(trait.condition);
      for (const prefix of new Set([...inside, ...except])) {
        const { cell } = this.#cells.ensure(prefix);
        cell.inside.delete(trait);
        cell.except.delete(trait);
        this.#touchWithin(prefix);
        if (cell.inside.size > 0 || cell.except.size > 0) continue;
        cut = true;
        this.#cells.delete(prefix);
        this.#drop(cell);
      }
    }
    for (const trait of born) {
      const { inside, except } = prefixesOf(trait.condition);
      for (const prefix of new Set([...inside, ...except])) {
        const { cell, made } = this.#cells.ensure(prefix);
        if (inside.includes(prefix)) cell.inside.add(trait);
        if (except.includes(prefix)) cell.except.add(trait);
        if (!made) continue;
        cut = true;
        this.#spotFor([], cell);
        for (const places of this.#nearby.overlapping(prefix)) {
          for (const place of places) if (this.#cellOf(place.address) === cell) this.#dirtyPlaces.add(place);
        }
      }
    }
    for (const trait of touched) for (const prefix of prefixesOf(trait.condition).inside) this.#touchWithin(prefix);
    return cut;
  }

  #touchWithin(prefix: Prefix): void {
    for (const cell of this.#cells.within(prefix)) {
      for (const spot of this.#spotsIn.get(cell) ?? []) this.#dirtySpots.add(spot);
    }
  }

  /** A cell that is no more: its addresses are those of the cell around it. */
  #drop(cell: Cell<Trait>): void {
    for (const spot of this.#spotsIn.get(cell) ?? []) {
      for (const place of spot.places) this.#dirtyPlaces.add(place);
      if (spot.profiles.length === 0) this.#forget(spot);
    }
  }

  #reprofile({ touched }: FactsChange): void {
    for (const party of this.#dirtyParties) {
      const ids = [...party.traits].map(({ id }) => id).sort((a, b) => a - b);
      this.#profiles.set(party, ids.length === 0 ? undefined : ids.join(","));
    }
    this.#dirtyParties.clear();
    const { members, numbers } = this.#profiles.settle();
    for (const [number, content] of numbers) {
      const before = this.#byNumber.get(number);
      for (const trait of before?.traits ?? []) trait.profiles.delete(number);
      for (const spot of before?.spots ?? []) this.#dirtySpots.add(spot);
      const [party] = content === undefined ? [] : this.#profiles.membersOf(content);
      if (party === undefined && (before === undefined || before.spots.size === 0)) this.#byNumber.delete(number);
      else this.#byNumber.set(number, { traits: [...(party?.traits ?? [])], spots: before?.spots ?? new Set() });
      for (const trait of party?.traits ?? []) trait.profiles.add(number);
    }
    for (const party of members) for (const place of party.places) this.#dirtyPlaces.add(place);
    for (const trait of touched) {
      for (const number of trait.profiles) {
        for (const spot of this.#byNumber.get(number)?.spots ?? []) this.#dirtySpots.add(spot);
      }
    }
  }

  /** Puts the place where it belongs now. */
  #replace(place: Place, held: HeldClasses): void {
    const claimants = claimantsAt(place);
    const profiles = [...new Set(claimants.map(({ party }) => this.#profiles.numberOf(party)))];
    const needed = claimants.some(({ local, party }) => local || ("own" in party.claim && party.claim.own));
    const before = this.#spotOf.get(place);
    const now =
      needed || profiles.some((profile) => profile !== 0)
        ? this.#spotFor(profiles, this.#cellOf(place.address))
        : undefined;
    if (before === now) return;
    if (before !== undefined) {
      before.places.delete(place);
      if (before.places.size === 0 && before.profiles.length > 0) this.#forget(before);
    }
    if (now === undefined) this.#spotOf.delete(place);
    else {
      now.places.add(place);
      this.#spotOf.set(place, now);
      const bears = held.at(place.address) ?? 0;
      if (bears !== 0 && bears !== this.#classes.numberOf(now)) {
        now.joined.set(bears, (now.joined.get(bears) ?? 0) + 1);
        this.#joinedInto.add(now);
        this.#classes.revote(now);
      }
    }
    if ((before === undefined) !== (now === undefined)) this.#file(place, now !== undefined);
  }

  #spotFor(profiles: readonly number[], cell: Cell<Trait>): Spot {
    const key = spotKey(profiles, cell);
    const known = this.#spots.get(key);
    if (known !== undefined) return known;
    const spot: Spot = { key, profiles, cell, places: new Set(), joined: new Map(), content: "", peers: [] };
    this.#spots.set(key, spot);
    const others = this.#spotsIn.get(cell);
    if (others === undefined) this.#spotsIn.set(cell, new Set([spot]));
    else others.add(spot);
    for (const number of profiles) this.#byNumber.get(number)?.spots.add(spot);
    this.#dirtySpots.add(spot);
    return spot;
  }

  #forget(spot: Spot): void {
    this.#spots.delete(spot.key);
    this.#dirtySpots.delete(spot);
    const others = this.#spotsIn.get(spot.cell);
    others?.delete(spot);
    if (others?.size === 0) this.#spotsIn.delete(spot.cell);
    for (const number of spot.profiles) {
      const profile = this.#byNumber.get(number);
      profile?.spots.delete(spot);
      if (profile?.spots.size === 0 && profile.traits.length === 0) this.#byNumber.delete(number);
    }
    this.#classes.set(spot, undefined);
  }

  #judge(spot: Spot): void {
    const around = this.#traitsIn(spot.cell);
    const profiles = spot.profiles.length === 0 ? [0] : spot.profiles;
    const found = new Map<string, Facts>();
    for (const number of profiles) {
      const traits = new Set([...around, ...(this.#byNumber.get(number)?.traits ?? [])]);
      const facts = this.#factsOf(traits);
      found.set(contentOf(facts, this.#facts), facts);
    }
    spot.content = [...found.keys()].join("|");
    spot.peers = [...found.values()];
    this.#classes.set(spot, spot.content === "" ? undefined : spot.content);
  }

  /** What a spot's addresses bear at the moment. */
  *#numbersIn(spot: Spot, held: HeldClasses): Iterable<readonly [ClassNumber, number]> {
    const { places, joined, profiles, cell } = spot;
    let own = places.size;
    for (const [number, count] of joined) {
      own -= count;
      yield [number, count];
    }
    yield [this.#classes.numberOf(spot), own];
    if (profiles.length === 0 && cell.prefix !== undefined) yield [held.ofNetwork(baseOf(cell.prefix)) ?? 0, 1];
  }

  #judgeOwnRest({ touched }: FactsChange): readonly Facts[] | undefined {
    const traits = new Set([...(this.#ownParty?.traits ?? [this.#facts.ownNode]), this.#facts.anywhere]);
    if (
      this.#ownTraits.size === traits.size &&
      [...traits].every((trait) => this.#ownTraits.has(trait) && !touched.has(trait))
    ) {
      return undefined;
    }
    this.#ownTraits = traits;
    const facts = this.#factsOf(traits);
    const content = contentOf(facts, this.#facts);
    if (content === this.#ownRest) return undefined;
    this.#ownRest = content;
    return [facts];
  }

  #factsOf(traits: ReadonlySet<Trait>): Facts {
    const facts = new Set<UsedFact>();
    for (const trait of traits) for (const fact of trait.facts) facts.add(fact);
    const found = new Map<FactKey, Truth>();
    const has = (trait: Trait) => traits.has(trait);
    for (const fact of [...facts].sort((a, b) => a.id - b.id)) {
      const truth = this.#facts.holds(fact, has);
      if (truth !== fact.outside) found.set(fact.key, truth);
    }
    return found;
  }

  #traitsIn(cell: Cell<Trait>): readonly Trait[] {
    if (cell.prefix === undefined) return [];
    const around = this.#cells.around(baseOf(cell.prefix), lengthOf(cell.prefix));
    const inside = new Set<Trait>();
    for (const one of around) for (const trait of one.inside) inside.add(trait);
    for (const one of around) for (const trait of one.except) inside.delete(trait);
    return [...inside];
  }

  #cellOf(address: Address): Cell<Trait> {
    const cell = this.#cells.around(address).at(-1);
    if (cell === undefined) throw new RangeError(`${address} is in no cell`);
    return cell;
  }

  /** By neighbourhood, so that a prefix finds the addresses within it without looking at all. */
  #file(place: Place, there: boolean): void {
    const key = blockKey(place);
    const block = this.#blocks.get(key);
    if (there && block === undefined) {
      const made = { prefix: prefixOf(place.address, blockLength[place.family]), places: new Set([place]) };
      this.#blocks.set(key, made);
      this.#nearby.add(made.prefix, made.places);
    } else if (there) block?.places.add(place);
    else if (block?.places.delete(place) === true && block.places.size === 0) {
      this.#blocks.delete(key);
      this.#nearby.delete(block.prefix, block.places);
    }
  }
}

const blockLength = { 4: 24, 6: 64 } as const;

/** Equal for addresses of one block. */
const blockKey = ({ address, family }: Place): string =>
  family === 4 ? address.slice(0, address.lastIndexOf(".")) : bytesOf(address).subarray(0, 8).join(" ");

const cellIds = new WeakMap<object, number>();
let lastCellId = 0;

function spotKey(profiles: readonly number[], cell: Cell<Trait>): string {
  const known = cellIds.get(cell);
  const id = known ?? ++lastCellId;
  if (known === undefined) cellIds.set(cell, id);
  return `${profiles.join(",")}@${id}`;
}

function contentOf(facts: Facts, used: FactsInUse): string {
  let content = "";
  for (const [key, truth] of facts) content += `${used.get(key)?.id ?? key}:${truth},`;
  return content;
}
