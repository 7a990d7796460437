import { pick, type Random } from "../../src/base/random.ts";

/** True in one of `in` cases. */
export const oneIn = (random: Random, within: number): boolean => random.below(within) === 0;

/** From `least` to `most`, both included. */
export const between = (random: Random, least: number, most: number): number => least + random.below(most - least + 1);

/** Some of the items, at least one, in their order. */
export function some<T>(random: Random, items: readonly T[]): T[] {
  const chosen = items.filter(() => random.below(2) === 0);
  return chosen.length > 0 ? chosen : [pick(random, items)];
}

export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
