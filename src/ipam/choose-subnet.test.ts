import { expect, test } from "bun:test";
import { type Prefix, parsePrefix } from "../base/prefix.ts";
import { type Random, seededRandom } from "../base/random.ts";
import type { NetworkRange } from "../model/network.ts";
import { chooseSubnet, TakenSubnets } from "./choose-subnet.ts";
import { subnetSpace } from "./subnet-space.ts";

function range(network: string, subnetLength: number, min: string, max: string): NetworkRange {
  return {
    network: parsePrefix(network),
    subnetLength,
    subnetMin: parsePrefix(`${min}/${subnetLength}`),
    subnetMax: parsePrefix(`${max}/${subnetLength}`),
  };
}

const small = subnetSpace(range("10.244.0.0/16", 24, "10.244.1.0", "10.244.255.0"));
const seed = 20260101;

test("a space is numbered from SubnetMin to SubnetMax, and knows what overlaps it", () => {
  expect(small.count).toBe(255);
  expect(small.at(0)).toBe("10.244.1.0/24" as Prefix);
  expect(small.at(254)).toBe("10.244.255.0/24" as Prefix);
  expect(small.indexOf(parsePrefix("10.244.7.0/24"))).toBe(6);
  expect(small.indexOf(parsePrefix("10.244.0.0/24"))).toBeUndefined();
  expect(small.indexOf(parsePrefix("10.245.1.0/24"))).toBeUndefined();
  expect(small.indexOf(parsePrefix("10.243.255.0/24"))).toBeUndefined();
  expect(small.indexOf(parsePrefix("10.244.1.0/25"))).toBeUndefined();
  expect(small.indexOf(parsePrefix("fd00::/64"))).toBeUndefined();
  expect(small.spanOf(parsePrefix("10.244.0.0/20"))).toEqual({ first: 0, last: 14 });
  expect(small.spanOf(parsePrefix("10.244.1.128/26"))).toEqual({ first: 0, last: 0 });
  expect(small.spanOf(parsePrefix("10.0.0.0/8"))).toEqual({ first: 0, last: 254 });
  expect(small.spanOf(parsePrefix("10.244.0.0/24"))).toBeUndefined();
});

test("impossible ranges are refused with the field at fault", () => {
  expect(() => subnetSpace(range("10.244.0.0/16", 24, "10.245.1.0", "10.244.9.0"))).toThrow(/SubnetMin 10.245.1.0\/24/);
  expect(() => subnetSpace(range("10.244.0.0/16", 24, "10.244.9.0", "10.244.1.0"))).toThrow(/above SubnetMax/);
});

test("IPv6 networks with more subnets than can be counted are no trouble", () => {
  const space = subnetSpace(range("fd00::/8", 64, "fd00::", "fdff:ffff:ffff:ffff::"));
  const taken = new TakenSubnets();
  taken.add({ first: 0, last: 2 ** 50 });
  const subnet = chooseSubnet(space, taken, undefined, { ...seededRandom(seed), below: () => 5 });
  expect(subnet).toBe(space.at(2 ** 50 + 1));
  expect(space.indexOf(space.at(2 ** 50 + 1))).toBe(2 ** 50 + 1);
});

test("the preferred subnet is taken when it is free, ignored when it is not or lies outside", () => {
  const taken = new TakenSubnets();
  const random: Random = { ...seededRandom(seed), below: () => 99 };
  const mine = parsePrefix("10.244.9.0/24");
  expect(chooseSubnet(small, taken, mine, random)).toBe(mine);
  taken.add({ first: 8, last: 8 });
  expect(chooseSubnet(small, taken, mine, random)).toBe(small.at(99));
  expect(chooseSubnet(small, taken, parsePrefix("10.9.9.0/24"), random)).toBe(small.at(99));
});

test("every free subnet is found, down to the last, and none beyond; none within a wider claim", () => {
  const random = seededRandom(seed);
  const taken = new TakenSubnets();
  taken.add({ first: 15, last: 30 });
  const seen = new Set<number>();
  for (;;) {
    const subnet = chooseSubnet(small, taken, undefined, random);
    if (subnet === undefined) break;
    const index = small.indexOf(subnet) ?? -1;
    expect(seen.has(index) || (index >= 15 && index <= 30)).toBe(false);
    seen.add(index);
    taken.add({ first: index, last: index });
  }
  expect(seen.size).toBe(255 - 16);
});

test("nodes that start together rarely try the same subnet", () => {
  const random = seededRandom(seed);
  const tries = new Set(Array.from({ length: 20 }, () => chooseSubnet(small, new TakenSubnets(), undefined, random)));
  expect(tries.size).toBeGreaterThan(15);
});
