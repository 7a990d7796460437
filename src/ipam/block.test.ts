import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../base/address.ts";
import { addressAt, parsePrefix } from "../base/prefix.ts";
import { pick, seededRandom } from "../base/random.ts";
import { Block } from "./block.ts";

const margins = { first: 2, last: 1 };
const block = (prefix: string, own = margins) => new Block(parsePrefix(prefix), own);
const a = (text: string): Address => parseAddress(text);

function takeNext(from: Block, now: number): Address | undefined {
  const address = from.next(now);
  if (address !== undefined) from.take(address);
  return address;
}

test("gives every address once, none of the margins, then none", () => {
  const small = block("10.244.1.0/29");
  const given = Array.from({ length: 6 }, () => takeNext(small, 0));
  expect(given).toEqual([
    a("10.244.1.2"),
    a("10.244.1.3"),
    a("10.244.1.4"),
    a("10.244.1.5"),
    a("10.244.1.6"),
    undefined,
  ]);
  expect([small.size, small.used, small.nextFreeAt()]).toEqual([5n, 5, undefined]);
});

test("blocks without margins, as Calico's, give all; blocks of margins only give none", () => {
  const whole = block("192.168.0.64/26", { first: 0, last: 0 });
  const given = new Set(Array.from({ length: 64 }, () => takeNext(whole, 0)));
  expect(given.has(a("192.168.0.64")) && given.has(a("192.168.0.127")) && given.size === 64).toBe(true);
  expect(takeNext(whole, 0)).toBeUndefined();
  expect([block("10.0.0.0/31").size, block("10.0.0.0/31").next(0)]).toEqual([0n, undefined]);
});

test("what was never used comes before what was released, and of that the oldest first", () => {
  const small = block("10.0.0.0/29");
  for (let count = 0; count < 4; count++) takeNext(small, 0);
  small.release(a("10.0.0.3"), 10);
  small.release(a("10.0.0.2"), 20);
  expect(takeNext(small, 100)).toBe(a("10.0.0.6"));
  expect(takeNext(small, 100)).toBe(a("10.0.0.3"));
  expect(takeNext(small, 100)).toBe(a("10.0.0.2"));
  expect(takeNext(small, 100)).toBeUndefined();
});

test("an address in quarantine is not given, however full the block is", () => {
  const tiny = block("10.0.0.0/30");
  takeNext(tiny, 0);
  tiny.release(a("10.0.0.2"), 30);
  expect([tiny.next(29), tiny.nextFreeAt(), tiny.quarantined(29)]).toEqual([undefined, 30, 1]);
  expect(tiny.standing(a("10.0.0.2"), 29)).toEqual({ type: "quarantined", until: 30 });
  expect([tiny.next(30), tiny.quarantined(30)]).toEqual([a("10.0.0.2"), 0]);
});

test("an address asked for is skipped when its turn comes", () => {
  const small = block("10.0.0.0/29");
  small.take(a("10.0.0.3"));
  expect([takeNext(small, 0), takeNext(small, 0)]).toEqual([a("10.0.0.2"), a("10.0.0.4")]);
  expect(small.standing(a("10.0.0.1"), 0).type).toBe("reserved");
  expect(small.standing(a("10.0.0.7"), 0).type).toBe("reserved");
});

test("an IPv6 /64 costs no more than a /24, its last address included", () => {
  const large = block("fd00:1::/64", { first: 2, last: 0 });
  large.take(a("fd00:1::3"));
  large.take(a("fd00:1::ffff:ffff:ffff:ffff"));
  expect([takeNext(large, 0), takeNext(large, 0)]).toEqual([a("fd00:1::2"), a("fd00:1::4")]);
  expect(large.size).toBe(2n ** 64n - 2n);
});

test("a large block forgets old releases and comes back to them only when the rest was used", () => {
  const large = block("10.0.0.0/19", { first: 0, last: 0 });
  const size = 2 ** 13;
  for (let count = 0; count < size; count++) takeNext(large, 0);
  expect(large.next(0)).toBeUndefined();
  for (let offset = 0n; offset < 5000n; offset++) large.release(addressAt(large.prefix, offset), 1);
  expect(large.forgettable(0)).toEqual([]);
  const forgettable = large.forgettable(1);
  expect(forgettable.length).toBe(5000 - 4096);
  for (const address of forgettable) large.forget(address);
  const again = Array.from({ length: 5000 }, () => takeNext(large, 2));
  expect(new Set(again).size).toBe(5000);
  expect(takeNext(large, 2)).toBeUndefined();
});

/** The same rules said in the plainest way: a list of all addresses, each with its history. */
class Naive {
  readonly addresses: { address: Address; used: boolean; releasedAs: number; until: number }[];
  #releases = 0;

  constructor(addresses: readonly Address[]) {
    this.addresses = addresses.map((address) => ({ address, used: false, releasedAs: 0, until: 0 }));
  }
  next(now: number): Address | undefined {
    const free = this.addresses.filter(({ used, until }) => !used && until <= now);
    return free.sort((x, y) => x.releasedAs - y.releasedAs)[0]?.address;
  }
  find(address: Address) {
    const found = this.addresses.find((entry) => entry.address === address);
    if (found === undefined) throw new Error(address);
    return found;
  }
  release(address: Address, until: number): void {
    Object.assign(this.find(address), { used: false, until, releasedAs: ++this.#releases });
  }
}

test("agrees with the naive model over random histories: never two owners, all come back after quarantine", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const own = { first: random.below(3), last: random.below(2) };
    const tested = block(`10.9.8.0/${27 + random.below(3)}`, own);
    const usable = Array.from({ length: Number(tested.size) }, (_, index) =>
      addressAt(tested.prefix, BigInt(index + own.first)),
    );
    const model = new Naive(usable);
    const owned = new Set<Address>();
    const quarantine = 20;
    let now = 0;
    const fail = (what: string) => `${what} (seed ${seed})`;
    for (let step = 0; step < 400; step++) {
      now += random.below(4);
      const action = random.below(10);
      if (action < 5) {
        const address = tested.next(now);
        expect(address, fail("next")).toBe(model.next(now) as Address);
        if (address === undefined) continue;
        expect(owned.has(address), fail("two owners")).toBe(false);
        owned.add(address);
        tested.take(address);
        model.find(address).used = true;
      } else if (action < 9 && owned.size > 0) {
        const address = pick(random, [...owned]);
        owned.delete(address);
        tested.release(address, now + quarantine);
        model.release(address, now + quarantine);
      } else {
        const address = pick(random, usable);
        const { used, until } = model.find(address);
        const expected = used ? "used" : until > now ? "quarantined" : "free";
        expect(tested.standing(address, now).type, fail("standing")).toBe(expected);
        if (expected !== "free") continue;
        owned.add(address);
        tested.take(address);
        model.find(address).used = true;
      }
      expect(tested.used, fail("used")).toBe(owned.size);
      expect(tested.quarantined(now)).toBe(model.addresses.filter((x) => !x.used && x.until > now).length);
    }
    for (const address of owned) tested.release(address, now + quarantine);
    const back = new Set(Array.from({ length: usable.length }, () => takeNext(tested, now + quarantine)));
    expect(back, fail("all come back")).toEqual(new Set(usable));
  }
});
