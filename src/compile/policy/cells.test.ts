import { expect, test } from "bun:test";
import { type Address, compareAddresses, numberOf, parseAddress } from "../../base/address.ts";
import { contains, lengthOf, type Prefix, parsePrefix } from "../../base/prefix.ts";
import { seededRandom } from "../../base/random.ts";
import { Cells } from "./cells.ts";

test("an address is in the cell of the longest prefix around it, whatever came and went", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const cells = new Cells<string>();
    const there = new Set<Prefix>();
    for (let count = 0; count < 40; count++) {
      const length = random.below(5) === 0 ? 0 : 4 + random.below(29);
      const prefix =
        random.below(3) === 0
          ? parsePrefix(`fd00:${random.below(4).toString(16)}::${random.below(4)}/${random.below(129)}`)
          : parsePrefix(`10.${random.below(3)}.${random.below(3)}.${random.below(256)}/${length}`);
      if (random.below(3) === 0) {
        cells.delete(prefix);
        there.delete(prefix);
      } else {
        expect(cells.ensure(prefix).made).toBe(!there.has(prefix));
        there.add(prefix);
      }
      const address =
        random.below(2) === 0
          ? parseAddress(`10.${random.below(3)}.${random.below(3)}.${random.below(256)}`)
          : parseAddress(`fd00:${random.below(4).toString(16)}::${random.below(4)}`);
      expect(cells.around(address).at(-1)?.prefix).toBe(longest(there, address));
      const ranges = cells.ranges((cell) => cell.prefix);
      const range = ranges.find(({ first, last }) => inside(first, address, last));
      expect(range?.value).toBe(longest(there, address));
      const within = cells.within(prefix).flatMap((cell) => cell.prefix ?? []);
      expect(within.sort()).toEqual([...there].filter((one) => isWithin(prefix, one)).sort());
    }
  }
}, 60_000);

test("ranges cover the whole address space, ascending, without gaps", () => {
  const cells = new Cells<string>();
  for (const prefix of ["10.0.0.0/8", "10.1.0.0/16", "255.255.255.255/32", "0.0.0.0/32"])
    cells.ensure(parsePrefix(prefix));
  const ranges = cells.ranges((cell) => cell.prefix).filter(({ first }) => !first.includes(":"));
  expect(ranges.map(({ first, last, value }) => `${first}-${last} ${value}`)).toEqual([
    "0.0.0.0-0.0.0.0 0.0.0.0/32",
    "0.0.0.1-9.255.255.255 undefined",
    "10.0.0.0-10.0.255.255 10.0.0.0/8",
    "10.1.0.0-10.1.255.255 10.1.0.0/16",
    "10.2.0.0-10.255.255.255 10.0.0.0/8",
    "11.0.0.0-255.255.255.254 undefined",
    "255.255.255.255-255.255.255.255 255.255.255.255/32",
  ]);
});

const longest = (prefixes: ReadonlySet<Prefix>, address: Address): Prefix | undefined =>
  [...prefixes].filter((prefix) => contains(prefix, address)).sort((a, b) => lengthOf(b) - lengthOf(a))[0];

const isWithin = (outer: Prefix, inner: Prefix): boolean =>
  lengthOf(outer) <= lengthOf(inner) && contains(outer, inner.slice(0, inner.lastIndexOf("/")) as Address);

const inside = (first: Address, address: Address, last: Address): boolean =>
  first.includes(":") === address.includes(":") &&
  compareAddresses(first, address) <= 0 &&
  numberOf(address) <= numberOf(last);
