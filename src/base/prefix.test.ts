import { expect, test } from "bun:test";
import { addressFromBytes, parseAddress } from "./address.ts";
import {
  addressAt,
  baseOf,
  contains,
  covers,
  lengthOf,
  offsetIn,
  overlaps,
  parseInterfaceAddress,
  parsePrefix,
  parseStrictPrefix,
  prefixOf,
  sizeOf,
  subnetAt,
  subnetCount,
} from "./prefix.ts";
import { seededRandom } from "./random.ts";

test("host bits are cleared, or refused when strict", () => {
  expect(String(parsePrefix("10.244.7.9/16"))).toBe("10.244.0.0/16");
  expect(String(parsePrefix("2001:db8::1/64"))).toBe("2001:db8::/64");
  expect(() => parseStrictPrefix("10.244.7.9/16")).toThrow("host bits");
  expect(parseInterfaceAddress("10.1.2.3/24")).toEqual({ address: parseAddress("10.1.2.3"), length: 24 });
});

test("each mistake has its own words", () => {
  const cases: [string, string][] = [
    ["10.0.0.0", "has no mask"],
    ["10.0.0.0/33", 'mask length "33"'],
    ["10.0.0.0/", 'mask length ""'],
    ["10.0.0.0/08", 'mask length "08"'],
    ["10.0.0.0/8/8", 'mask length "8/8"'],
    ["::/129", 'mask length "129"'],
    ["ten/8", "is not a network"],
  ];
  for (const [text, words] of cases) expect(() => parsePrefix(text)).toThrow(words);
});

test("contains and covers agree with arithmetic", () => {
  const random = seededRandom(3);
  for (let round = 0; round < 5000; round++) {
    const six = round % 2 === 1;
    const near = (bytes: Uint8Array) =>
      bytes.map((byte, index) => (index === random.below(bytes.length) ? byte ^ (1 << random.below(8)) : byte));
    const bytes = random.bytes(six ? 16 : 4);
    const prefix = prefixOf(addressFromBytes(bytes), random.below(six ? 129 : 33));
    const other = addressFromBytes(near(bytes));
    const offset = offsetIn(prefix, other);
    expect([prefix, other, contains(prefix, other)]).toEqual([prefix, other, offset >= 0n && offset < sizeOf(prefix)]);
    const inner = prefixOf(other, random.below(six ? 129 : 33));
    const inside = lengthOf(inner) >= lengthOf(prefix) && contains(prefix, baseOf(inner));
    expect(covers(prefix, inner)).toBe(inside);
    expect(overlaps(prefix, inner)).toBe(inside || covers(inner, prefix));
  }
  expect(contains(parsePrefix("0.0.0.0/0"), parseAddress("::1"))).toBe(false);
});

test("subnets are counted from the base", () => {
  const network = parsePrefix("10.0.0.0/8");
  expect(subnetCount(network, 24)).toBe(65_536n);
  expect(String(subnetAt(network, 24, 65_535n))).toBe("10.255.255.0/24");
  expect(String(addressAt(parsePrefix("10.1.0.0/24"), 255n))).toBe("10.1.0.255");
  expect(() => addressAt(parsePrefix("10.1.0.0/24"), 256n)).toThrow("outside");
  expect(String(subnetAt(parsePrefix("fd00::/48"), 64, 65_535n))).toBe("fd00:0:0:ffff::/64");
});
