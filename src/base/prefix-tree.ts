import { bytesOf, type Family } from "./address.ts";
import { baseOf, lengthOf, type Prefix, prefixFamily } from "./prefix.ts";

/**
 * Values at prefixes, found by overlap: a binary tree, one level a bit. Whatever it holds, a question costs the prefix's
 * length and the answers.
 */
export class PrefixTree<T> {
  readonly #roots: Readonly<Record<Family, Branch<T>>> = { 4: new Branch(), 6: new Branch() };

  add(prefix: Prefix, value: T): void {
    let branch = this.#roots[prefixFamily(prefix)];
    for (const side of sidesOf(prefix)) {
      branch[side] ??= new Branch();
      branch = branch[side];
    }
    branch.values = [...branch.values, value];
  }

  /** Nothing when it is not there. */
  delete(prefix: Prefix, value: T): void {
    const path: Branch<T>[] = [this.#roots[prefixFamily(prefix)]];
    const sides = sidesOf(prefix);
    for (const side of sides) {
      const next = path.at(-1)?.[side];
      if (next === undefined) return;
      path.push(next);
    }
    const leaf = path.at(-1);
    if (leaf !== undefined) leaf.values = leaf.values.filter((held) => held !== value);
    for (let depth = sides.length; depth > 0; depth--) {
      const [branch, parent, side] = [path[depth], path[depth - 1], sides[depth - 1]];
      if (branch === undefined || parent === undefined || side === undefined) return;
      if (branch.values.length > 0 || branch.zero !== undefined || branch.one !== undefined) return;
      parent[side] = undefined;
    }
  }

  /** The values at prefixes that contain this one or lie within it, itself among them. */
  *overlapping(prefix: Prefix): Generator<T> {
    let branch: Branch<T> | undefined = this.#roots[prefixFamily(prefix)];
    for (const side of sidesOf(prefix)) {
      yield* branch.values;
      branch = branch[side];
      if (branch === undefined) return;
    }
    yield* within(branch);
  }
}

class Branch<T> {
  zero: Branch<T> | undefined;
  one: Branch<T> | undefined;
  values: readonly T[] = none;
}

/** One for all branches: most of them hold nothing. */
const none: readonly never[] = [];

function* within<T>(branch: Branch<T>): Generator<T> {
  yield* branch.values;
  if (branch.zero !== undefined) yield* within(branch.zero);
  if (branch.one !== undefined) yield* within(branch.one);
}

/** The prefix's bits, most significant first. */
function sidesOf(prefix: Prefix): readonly ("zero" | "one")[] {
  const bytes = bytesOf(baseOf(prefix));
  return Array.from({ length: lengthOf(prefix) }, (_, bit) =>
    (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 0 ? "zero" : "one",
  );
}
