import type { Prefix } from "../../base/prefix.ts";
import type { NamedPort, PeerMatch } from "../../model/policy.ts";
import { type Fact, type FactKey, outsideTruth } from "./fact.ts";
import type { Party } from "./population.ts";
import { forEachLeaf, maybe, no, type PeerLeaf, type Truth, truthOf, truthOfPeer } from "./truth.ts";

/** One condition that facts are made of. A party has it or not; of networks, a cell. */
export interface Trait {
  readonly key: string;
  readonly condition: Condition;
  readonly facts: Set<UsedFact>;
  /** Who has it; of networks, nobody. */
  readonly parties: Set<Party>;
  /** Numbers of the profiles that have it. */
  readonly profiles: Set<number>;
  /** Short, for keys; never used twice. */
  readonly id: number;
}

export type Condition =
  | PeerLeaf
  | { readonly port: NamedPort }
  | { readonly ownNode: true }
  /** Nothing is known of it, so every other condition of endpoints may hold. */
  | { readonly unknown: true }
  /** What lies in an unknown place: every network may hold it. */
  | { readonly anywhere: true };

/** A fact that some program asks for. */
export interface UsedFact {
  readonly key: FactKey;
  readonly fact: Fact;
  readonly id: number;
  readonly traits: readonly Trait[];
  readonly outside: Truth;
  uses: number;
}

export interface FactsChange {
  /** Traits that nobody had asked for before, and those that nobody asks for any more. */
  readonly born: ReadonlySet<Trait>;
  readonly died: ReadonlySet<Trait>;
  /** Traits of facts that came or went: what has them must be looked at again. */
  readonly touched: ReadonlySet<Trait>;
}

/** The facts that programs ask for, counted, and the traits that they are made of. */
export class FactsInUse {
  /** Always there. */
  readonly unknown = newTrait({ unknown: true }, 0);
  readonly anywhere = newTrait({ anywhere: true }, 1);
  readonly ownNode = newTrait({ ownNode: true }, 2);
  readonly #facts = new Map<FactKey, UsedFact>();
  readonly #traits = new Map<string, Trait>();
  #born = new Set<Trait>();
  #died = new Set<Trait>();
  #touched = new Set<Trait>();
  readonly #idle = new Set<UsedFact>();
  #lastId = 2;

  get(key: FactKey): UsedFact | undefined {
    return this.#facts.get(key);
  }

  trait(key: string): Trait | undefined {
    return this.#traits.get(key);
  }

  acquire(key: FactKey, fact: Fact): void {
    const held = this.#facts.get(key);
    if (held !== undefined) {
      held.uses++;
      this.#idle.delete(held);
      return;
    }
    const traits = this.#traitsOf(fact);
    const used = { key, fact, id: ++this.#lastId, traits, outside: outsideTruth(fact), uses: 1 };
    this.#facts.set(key, used);
    for (const trait of traits) {
      trait.facts.add(used);
      this.#touched.add(trait);
    }
  }

  /** It is dropped at the next `settle`, unless somebody wants it again before. */
  release(key: FactKey): void {
    const held = this.#facts.get(key);
    if (held === undefined) return;
    held.uses--;
    if (held.uses === 0) this.#idle.add(held);
  }

  settle(): FactsChange {
    for (const fact of this.#idle) {
      this.#facts.delete(fact.key);
      for (const trait of fact.traits) {
        trait.facts.delete(fact);
        this.#touched.add(trait);
        if (trait.facts.size > 0 || !this.#traits.delete(trait.key)) continue;
        if (!this.#born.delete(trait)) this.#died.add(trait);
      }
    }
    this.#idle.clear();
    const change = { born: this.#born, died: this.#died, touched: this.#touched };
    this.#born = new Set();
    this.#died = new Set();
    this.#touched = new Set();
    return change;
  }

  #traitsOf(fact: Fact): readonly Trait[] {
    if ("ownNode" in fact) return [this.ownNode];
    if ("unknownPorts" in fact) return [this.unknown];
    if ("portName" in fact) {
      const { portName: name, protocol, port } = fact;
      return [this.unknown, this.#trait({ port: { name, protocol, port } })];
    }
    const traits = new Set<Trait>();
    forEachLeaf(fact.peer, (leaf) => {
      traits.add(this.#trait(leaf));
      if ("endpoints" in leaf) traits.add(this.unknown);
      if ("networks" in leaf) traits.add(this.anywhere);
    });
    return [...traits];
  }

  #trait(condition: Condition): Trait {
    const key = traitKey(condition);
    const held = this.#traits.get(key);
    if (held !== undefined) return held;
    const trait = newTrait(condition, ++this.#lastId);
    this.#traits.set(key, trait);
    this.#died.delete(trait);
    this.#born.add(trait);
    return trait;
  }

  /** Whether the fact holds where these traits, and no others, do. */
  holds({ fact }: UsedFact, has: (trait: Trait) => boolean): Truth {
    if ("ownNode" in fact) return truthOf(has(this.ownNode));
    const unknown = has(this.unknown);
    if ("unknownPorts" in fact) return unknown ? maybe : no;
    const of = (condition: Condition, otherwise: Truth): Truth => {
      const trait = this.#traits.get(traitKey(condition));
      return trait !== undefined && has(trait) ? 2 : otherwise;
    };
    if ("portName" in fact) {
      const { portName: name, protocol, port } = fact;
      return of({ port: { name, protocol, port } }, unknown ? maybe : no);
    }
    const elsewhere = has(this.anywhere) ? maybe : no;
    return truthOfPeer(fact.peer, (leaf) => {
      if ("networks" in leaf) return of(leaf, elsewhere);
      return of(leaf, "endpoints" in leaf && unknown ? maybe : no);
    });
  }
}

function newTrait(condition: Condition, id: number): Trait {
  return { key: traitKey(condition), condition, facts: new Set(), parties: new Set(), profiles: new Set(), id };
}

const leafKeys = new WeakMap<PeerMatch, string>();

export function traitKey(condition: Condition): string {
  if ("port" in condition) {
    const { name, protocol, port } = condition.port;
    return `port ${name} ${protocol}/${port}`;
  }
  if ("ownNode" in condition || "unknown" in condition || "anywhere" in condition) return JSON.stringify(condition);
  const known = leafKeys.get(condition);
  if (known !== undefined) return known;
  const key = JSON.stringify(condition);
  leafKeys.set(condition, key);
  return key;
}

/** The prefixes that a condition names; none if it is not of networks. */
export const prefixesOf = (
  condition: Condition,
): { readonly inside: readonly Prefix[]; readonly except: readonly Prefix[] } =>
  "networks" in condition ? { inside: condition.networks, except: condition.except } : { inside: [], except: [] };
