import type { Prefix } from "../base/prefix.ts";
import { PrefixTree } from "../base/prefix-tree.ts";

/** One node's word that something is its own. */
export interface Claim<T> {
  readonly node: string;
  readonly thing: T;
  /** The claim that has it instead. Undefined: this one. */
  readonly lostTo: Claim<T> | undefined;
}

/** Finds the claims that a thing clashes with. */
export interface ClaimIndex<T> {
  add(thing: T, claim: OpenClaim<T>): void;
  delete(thing: T, claim: OpenClaim<T>): void;
  overlapping(thing: T): readonly OpenClaim<T>[];
}

interface OpenClaim<T> extends Claim<T> {
  /** Place among its node's claims. */
  readonly position: number;
  lostTo: Claim<T> | undefined;
}

/**
 * Who has what only one node can have: prefixes that may not overlap, keys that may not be equal. A lease carries no time
 * of its claim, so of two nodes that claim the same the first by name has it, on every node alike; only the node that we
 * are goes before, for its pods use its addresses already. A claim that has lost stands in nobody's way.
 *
 * A claim's fate hangs on earlier ones only. So when claims change, those that clash with them are judged anew, in order,
 * and what clashes with a claim whose fate is another, and so on: the same as judging all, at the cost of what differs.
 */
export class Claims<T> {
  readonly #index: ClaimIndex<T>;
  readonly #first: string;
  readonly #byNode = new Map<string, readonly OpenClaim<T>[]>();
  readonly #doubtful = new Set<OpenClaim<T>>();
  /** Nodes whose claims have another fate than at the last `settle`. */
  readonly #touched = new Set<string>();

  /** @param first the node whose claims go before all others. */
  constructor(index: ClaimIndex<T>, first: string) {
    this.#index = index;
    this.#first = first;
  }

  /** Makes these all that the node claims. */
  set(node: string, things: readonly T[]): void {
    const before = this.#byNode.get(node) ?? [];
    if (before.length === things.length && before.every(({ thing }, index) => thing === things[index])) return;
    this.#touched.add(node);
    for (const claim of before) {
      this.#index.delete(claim.thing, claim);
      this.#doubtful.delete(claim);
    }
    for (const claim of before) for (const other of this.#after(claim)) this.#doubtful.add(other);
    const after = things.map((thing, position): OpenClaim<T> => ({ node, thing, position, lostTo: undefined }));
    for (const claim of after) {
      for (const other of this.#after(claim)) this.#doubtful.add(other);
      this.#index.add(claim.thing, claim);
      this.#doubtful.add(claim);
    }
    if (after.length === 0) this.#byNode.delete(node);
    else this.#byNode.set(node, after);
  }

  /** Judges what is in doubt. @returns the nodes whose claims have another fate than before. */
  settle(): ReadonlySet<string> {
    const queue = [...this.#doubtful].sort((a, b) => this.#compare(b, a));
    for (let claim = queue.pop(); claim !== undefined; claim = queue.pop()) {
      this.#doubtful.delete(claim);
      const had = claim.lostTo;
      claim.lostTo = this.#holderBefore(claim);
      if (claim.lostTo === had) continue;
      this.#touched.add(claim.node);
      if ((claim.lostTo === undefined) === (had === undefined)) continue;
      for (const other of this.#after(claim)) {
        if (this.#doubtful.has(other)) continue;
        this.#doubtful.add(other);
        this.#insert(queue, other);
      }
    }
    const touched = new Set(this.#touched);
    this.#touched.clear();
    return touched;
  }

  /** As judged by the last `settle`, in the order in which they were made. */
  of(node: string): readonly Claim<T>[] {
    return this.#byNode.get(node) ?? [];
  }

  /** Whose fate may hang on this claim. */
  #after(claim: OpenClaim<T>): readonly OpenClaim<T>[] {
    return this.#index.overlapping(claim.thing).filter((other) => this.#compare(other, claim) > 0);
  }

  #holderBefore(claim: OpenClaim<T>): OpenClaim<T> | undefined {
    let holder: OpenClaim<T> | undefined;
    for (const other of this.#index.overlapping(claim.thing)) {
      if (other.lostTo !== undefined || this.#compare(other, claim) >= 0) continue;
      if (holder === undefined || this.#compare(other, holder) < 0) holder = other;
    }
    return holder;
  }

  /** By code unit, not by locale: every node must sort alike. */
  #compare(a: OpenClaim<T>, b: OpenClaim<T>): number {
    if (a.node === b.node) return a.position - b.position;
    if (a.node === this.#first || b.node === this.#first) return a.node === this.#first ? -1 : 1;
    return a.node < b.node ? -1 : 1;
  }

  /** Into the queue, whose last goes first. */
  #insert(queue: OpenClaim<T>[], claim: OpenClaim<T>): void {
    let [low, high] = [0, queue.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = queue[middle];
      if (other !== undefined && this.#compare(other, claim) > 0) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, claim);
  }
}

/** Prefixes clash when they overlap. */
export const prefixClaims = (first: string): Claims<Prefix> => new Claims(new PrefixTree(), first);

/** Keys clash when they are equal. */
export const keyClaims = (first: string): Claims<string> => new Claims(new KeyIndex(), first);

class KeyIndex implements ClaimIndex<string> {
  readonly #claims = new Map<string, readonly OpenClaim<string>[]>();

  add(key: string, claim: OpenClaim<string>): void {
    this.#claims.set(key, [...(this.#claims.get(key) ?? []), claim]);
  }

  delete(key: string, claim: OpenClaim<string>): void {
    const rest = (this.#claims.get(key) ?? []).filter((held) => held !== claim);
    if (rest.length === 0) this.#claims.delete(key);
    else this.#claims.set(key, rest);
  }

  overlapping(key: string): readonly OpenClaim<string>[] {
    return this.#claims.get(key) ?? [];
  }
}
