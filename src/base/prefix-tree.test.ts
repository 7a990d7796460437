import { expect, test } from "bun:test";
import { parseAddress } from "./address.ts";
import { everything, overlaps, type Prefix, prefixOf } from "./prefix.ts";
import { PrefixTree } from "./prefix-tree.ts";
import { pick, type Random, seededRandom } from "./random.ts";

function randomPrefix(random: Random): Prefix {
  const small = random.below(16);
  return random.below(2) === 0
    ? prefixOf(parseAddress(`10.0.${small}.${random.below(4) * 64}`), pick(random, [0, 8, 20, 22, 24, 25, 26, 32]))
    : prefixOf(parseAddress(`fd00:0:0:${small.toString(16)}::${random.below(3)}`), pick(random, [0, 48, 60, 64, 128]));
}

test("property: what overlaps is found, through any additions and removals", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const tree = new PrefixTree<number>();
    const held = new Map<number, Prefix>();
    for (let step = 0; step < 60; step++) {
      if (held.size > 0 && random.below(3) === 0) {
        const [value, prefix] = pick(random, [...held]);
        held.delete(value);
        tree.delete(prefix, value);
      } else {
        const prefix = randomPrefix(random);
        held.set(step, prefix);
        tree.add(prefix, step);
      }
      const asked = randomPrefix(random);
      const found = [...tree.overlapping(asked)].sort((a, b) => a - b);
      const expected = [...held].filter(([, prefix]) => overlaps(prefix, asked)).map(([value]) => value);
      expect({ seed, step, asked, found }).toEqual({ seed, step, asked, found: expected });
    }
  }
});

test("what was never there is deleted in silence, and an empty tree finds nothing", () => {
  const tree = new PrefixTree<string>();
  const prefix = prefixOf(parseAddress("10.0.0.0"), 24);
  tree.delete(prefix, "a");
  tree.add(prefix, "a");
  tree.delete(prefix, "b");
  expect([...tree.overlapping(everything(4))]).toEqual(["a"]);
  tree.delete(prefix, "a");
  expect([...tree.overlapping(everything(4))]).toEqual([]);
  expect([...tree.overlapping(everything(6))]).toEqual([]);
});
