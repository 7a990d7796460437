import { bytesOf, type Family } from "./address.ts";
import { baseOf, lengthOf, type Prefix, prefixFamily } from "./prefix.ts";

/**
 * Values at prefixes, found by overlap: a binary tree, one level a bit. Whatever it holds, a question costs the prefix's
 * length and the answers.
 */
export class PrefixTree<T> {
  readonly #roots: Readonly<Record<Family, Branch<T>>> = { 4: new Branch(), 6: new Branch() };

  add(prefix: Prefix, value: T): void {
    const [bytes, length] = bitsOf(prefix);
    let branch = this.#roots[prefixFamily(prefix)];
    for (let depth = 0; depth < length; depth++) {
      if (isSet(bytes, depth)) branch = branch.one ??= new Branch();
      else branch = branch.zero ??= new Branch();
    }
    branch.values = [...branch.values, value];
  }

  /** Nothing when it is not there. */
  delete(prefix: Prefix, value: T): void {
    const [bytes, length] = bitsOf(prefix);
    remove(this.#roots[prefixFamily(prefix)], 0);

    function remove(branch: Branch<T>, depth: number): void {
      if (depth === length) {
        branch.values = branch.values.filter((held) => held !== value);
        return;
      }
      const next = isSet(bytes, depth) ? branch.one : branch.zero;
      if (next === undefined) return;
      remove(next, depth + 1);
      if (next.values.length > 0 || next.zero !== undefined || next.one !== undefined) return;
      if (next === branch.one) branch.one = undefined;
      else branch.zero = undefined;
    }
  }

  /** The values at prefixes that contain this one or lie within it, itself among them. */
  overlapping(prefix: Prefix): readonly T[] {
    const [bytes, length] = bitsOf(prefix);
    const found: T[] = [];
    let branch: Branch<T> | undefined = this.#roots[prefixFamily(prefix)];
    for (let depth = 0; depth < length && branch !== undefined; depth++) {
      for (const value of branch.values) found.push(value);
      branch = isSet(bytes, depth) ? branch.one : branch.zero;
    }
    collect(branch, found);
    return found;
  }
}

class Branch<T> {
  zero: Branch<T> | undefined;
  one: Branch<T> | undefined;
  values: readonly T[] = none;
}

/** One for all branches: most of them hold nothing. */
const none: readonly never[] = [];

function collect<T>(branch: Branch<T> | undefined, into: T[]): void {
  if (branch === undefined) return;
  for (const value of branch.values) into.push(value);
  collect(branch.zero, into);
  collect(branch.one, into);
}

const bitsOf = (prefix: Prefix): readonly [bytes: Uint8Array, length: number] => [
  bytesOf(baseOf(prefix)),
  lengthOf(prefix),
];

/** Bit 0 is the most significant. */
const isSet = (bytes: Uint8Array, bit: number): boolean => (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
