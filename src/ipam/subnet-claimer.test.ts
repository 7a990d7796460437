import { expect, test } from "bun:test";
import { FakeClock } from "../base/clock.ts";
import { isCode, TwillError } from "../base/errors.ts";
import { type Prefix, parsePrefix } from "../base/prefix.ts";
import { seededRandom } from "../base/random.ts";
import type { NetworkRange } from "../model/network.ts";
import { keepSubnet } from "./claim-keeper.ts";
import { MemoryStore } from "./memory-store.fixture.ts";
import { claimCodec, claimName, SUBNETS } from "./subnet-claim.ts";
import { SubnetClaimer } from "./subnet-claimer.ts";
import { reserveSubnet, unreserveSubnet } from "./subnet-reservation.ts";

const hours = 3600_000;
const seed = 11;
const p = (text: string): Prefix => parsePrefix(text);
const holder = (node: string, id = `machine of ${node}`) => ({ node, id });

function range(network: string, subnetLength: number, min: string, max: string): NetworkRange {
  const subnet = (base: string) => p(`${base}/${subnetLength}`);
  return { network: p(network), subnetLength, subnetMin: subnet(min), subnetMax: subnet(max) };
}
const whole = range("10.244.0.0/16", 24, "10.244.0.0", "10.244.255.0");
const four = range("10.244.0.0/16", 24, "10.244.0.0", "10.244.3.0");

function setUp(start: NetworkRange = whole, ttl = true) {
  const clock = new FakeClock();
  const store = new MemoryStore(clock, ttl);
  const config = { range: start, reads: 0, onRead: () => {} };
  const readRange = async () => {
    config.reads++;
    config.onRead();
    return config.range;
  };
  const claimer = (own = seed) => new SubnetClaimer({ store, clock, random: seededRandom(own), readRange });
  const stored = async () => (await store.list(SUBNETS)).objects.map(({ name }) => name).sort();
  return { clock, store, config, claimer, stored };
}

const errorOf = async (promise: Promise<unknown>): Promise<TwillError> => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TwillError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

test("a node gets one subnet, keeps it over restarts, and a machine of the same name gets another", async () => {
  const { claimer, stored, clock } = setUp();
  const first = await claimer(1).claim(holder("a"));
  expect(first.surplus).toEqual([]);
  expect(first.expiresAt).toBe(clock.now() + 24 * hours);
  expect((await claimer(2).claim(holder("a"))).subnet).toBe(first.subnet);
  expect((await claimer(3).claim(holder("a"), p("10.244.9.0/24"))).subnet).toBe(first.subnet);
  const impostor = await claimer(4).claim(holder("a", "another machine"), first.subnet);
  expect(impostor.subnet).not.toBe(first.subnet);
  expect(await stored()).toEqual([claimName(first.subnet), claimName(impostor.subnet)].sort());
});

test("one claimer gives one holder one subnet however often it is asked", async () => {
  const { claimer } = setUp();
  const one = claimer();
  expect((await one.claim(holder("a"))).subnet).toBe((await one.claim(holder("a"))).subnet);
});

test("the subnet that the node had before is preferred when it is free", async () => {
  const { claimer } = setUp();
  expect((await claimer().claim(holder("a"), p("10.244.77.0/24"))).subnet).toBe(p("10.244.77.0/24"));
  expect((await claimer().claim(holder("b"), p("10.244.77.0/24"))).subnet).not.toBe(p("10.244.77.0/24"));
  expect((await claimer().claim(holder("c"), p("10.99.1.0/24"))).subnet).toMatch(/^10\.244\./);
});

test("a claim lost at the last moment leads to another subnet", async () => {
  const { store, claimer } = setUp();
  const wanted = p("10.244.5.0/24");
  store.beforeWrite = async () => {
    store.beforeWrite = () => {};
    const thief = claimCodec.encode({ node: "thief", id: "t", claimedAt: 0, reserved: false });
    await store.create(SUBNETS, claimName(wanted), thief);
  };
  const held = await claimer().claim(holder("a"), wanted);
  expect(held.subnet).not.toBe(wanted);
  expect(claimCodec.decode((await store.get(SUBNETS, claimName(wanted)))?.value ?? new Uint8Array(), "x").node).toBe(
    "thief",
  );
});

test("claims that cannot be read, have no time to live or another length are respected", async () => {
  const { store, claimer } = setUp(four);
  await store.create(SUBNETS, "10.244.0.0-24", new TextEncoder().encode("?"), { ttlSeconds: 9 });
  await store.create(SUBNETS, "10.244.1.0-24", new TextEncoder().encode(`{"version":99}`));
  await store.create(SUBNETS, "10.244.2.128-25", claimCodec.encode({ ...holder("x"), claimedAt: 0, reserved: false }));
  await store.create(SUBNETS, "not-a-subnet", new Uint8Array());
  expect((await claimer().claim(holder("a"))).subnet).toBe(p("10.244.3.0/24"));
});

test("when all are leased it says how many, of what, and when one may end", async () => {
  const { store, clock, claimer, config } = setUp(four);
  await reserveSubnet(store, four, clock, p("10.244.2.0/24"));
  for (const node of ["a", "b", "c"]) await claimer().claim(holder(node));
  const error = await errorOf(claimer().claim(holder("d")));
  expect(error.code).toBe("exhausted");
  expect(error.describe()).toContain(
    "claim subnet of 10.244.0.0/16: all 4 subnets from 10.244.0.0/24 to 10.244.3.0/24 are leased " +
      "(1 of them reserved; the next lease ends 2026-01-02T00:00:00.000Z unless it is renewed)",
  );
  await clock.advance(24 * hours);
  expect((await claimer().claim(holder("d"))).subnet).toMatch(/^10\.244\./);

  config.range = range("10.9.0.0/30", 30, "10.9.0.0", "10.9.0.0");
  await claimer().claim(holder("e"));
  expect((await errorOf(claimer().claim(holder("f")))).message).toStartWith("all 1 subnets of 10.9.0.0/30 are leased");
});

test("a view that is behind does not report a full network, nor miss the last free subnet", async () => {
  const { claimer } = setUp(four);
  const behind = claimer(5);
  const mine = await behind.claim(holder("a"));
  const other = claimer(6);
  for (const node of ["b", "c", "d"]) await other.claim(holder(node));
  expect(isCode(await errorOf(behind.claim(holder("e"))), "exhausted")).toBe(true);
  await other.release(holder("a"), mine.subnet);
  expect((await behind.claim(holder("e"))).subnet).toBe(mine.subnet);
});

test("renewal waits until the margin, then extends; a claim without time to live is left as it is", async () => {
  const { store, clock, claimer } = setUp();
  const one = claimer();
  const held = await one.claim(holder("a"));
  const writes = store.writes;
  await clock.advance(22.9 * hours);
  expect(await one.renew(holder("a"), held)).toEqual({ type: "held", held });
  expect(store.writes).toBe(writes);
  await clock.advance(0.2 * hours);
  const renewed = await one.renew(holder("a"), held);
  expect(renewed).toEqual({ type: "held", held: { ...held, expiresAt: clock.now() + 24 * hours } });

  await reserveSubnet(store, whole, clock, held.subnet, "a");
  await clock.advance(1000 * hours);
  expect(await one.renew(holder("a"), held)).toEqual({ type: "held", held: { subnet: held.subnet, surplus: [] } });
});

test("a claim that ended while the node was away is lost, to nobody or to somebody", async () => {
  const { store, clock, claimer } = setUp(range("10.244.0.0/16", 24, "10.244.4.0", "10.244.4.0"));
  const one = claimer();
  const held = await one.claim(holder("a"));
  await clock.advance(25 * hours);
  expect(await one.renew(holder("a"), held)).toEqual({ type: "lost", subnet: held.subnet });
  expect((await one.claim(holder("a"), held.subnet)).subnet).toBe(held.subnet);
  await clock.advance(25 * hours);
  await claimer().claim(holder("b"));
  const outcome = await one.renew(holder("a"), held);
  expect(outcome).toMatchObject({ type: "lost", to: { node: "b", id: "machine of b" } });
  const entry = await store.get(SUBNETS, claimName(held.subnet));
  expect(entry?.expiresAt).toBe(clock.now() + 24 * hours);
});

test("release gives back what is ours, once, and nothing that is not", async () => {
  const { claimer, stored } = setUp();
  const held = await claimer().claim(holder("a"));
  expect(await claimer().release(holder("b"), held.subnet)).toBe(false);
  expect(await claimer().release(holder("a", "another"), held.subnet)).toBe(false);
  expect(await claimer().release(holder("a"), held.subnet)).toBe(true);
  expect(await claimer().release(holder("a"), held.subnet)).toBe(false);
  expect(await stored()).toEqual([]);
});

test("without time to live in the store, claims stay until they are released", async () => {
  const { clock, claimer } = setUp(four, false);
  const held = await claimer().claim(holder("a"));
  expect(held.expiresAt).toBeUndefined();
  await clock.advance(10_000 * hours);
  expect((await claimer().renew(holder("a"), held)).type).toBe("held");
  expect(await claimer().release(holder("a"), held.subnet)).toBe(true);
});

test("after the network changed the node has a new subnet, and the old one until it is told to release it", async () => {
  const { claimer, config } = setUp();
  const one = claimer();
  const old = await one.claim(holder("a"));
  config.range = range("10.32.0.0/16", 24, "10.32.1.0", "10.32.255.0");
  const next = await one.claim(holder("a"), old.subnet);
  expect(next.subnet).toMatch(/^10\.32\./);
  expect(next.surplus).toEqual([old.subnet]);
  expect(await one.release(holder("a"), old.subnet)).toBe(true);
  expect((await claimer().claim(holder("a"))).surplus).toEqual([]);
});

test("a claim made while SubnetLen changed is withdrawn, so that no two lengths overlap", async () => {
  const { claimer, config, stored } = setUp();
  config.onRead = () => {
    if (config.reads === 2) config.range = range("10.244.0.0/16", 20, "10.244.16.0", "10.244.240.0");
  };
  const held = await claimer().claim(holder("a"));
  expect(held.subnet).toEndWith("/20");
  expect(await stored()).toEqual([claimName(held.subnet)]);
});

test("one family's claims are not the other's surplus", async () => {
  const { claimer, config } = setUp();
  await claimer().claim(holder("a"));
  config.range = range("fd00:10:244::/48", 64, "fd00:10:244:1::", "fd00:10:244:ffff::");
  const held = await claimer().claim(holder("a"));
  expect([held.surplus, held.subnet.endsWith("::/64")]).toEqual([[], true]);
});

test("reservations: for nobody, for a node, of a living lease; refused where someone is", async () => {
  const { store, clock, claimer, stored } = setUp(four);
  const reserve = (subnet: string, node?: string) => reserveSubnet(store, four, clock, p(subnet), node);
  await reserve("10.244.0.0/24");
  await reserve("10.244.1.0/24", "a");
  await reserve("10.244.1.0/24", "a");
  const b = await claimer().claim(holder("b"), p("10.244.1.0/24"));
  expect(["10.244.2.0/24", "10.244.3.0/24"] as Prefix[]).toContain(b.subnet);

  expect((await claimer().claim(holder("a"), p("10.244.3.0/24"))).subnet).toBe(p("10.244.1.0/24"));
  await clock.advance(100 * hours);
  expect((await claimer().claim(holder("a", "impostor"))).subnet).not.toBe(p("10.244.1.0/24"));
  expect(await claimer().release(holder("a"), p("10.244.1.0/24"))).toBe(true);
  expect(await stored()).toContain("10.244.1.0-24");
  expect((await claimer().claim(holder("a", "new machine"))).subnet).toBe(p("10.244.1.0/24"));

  expect(await errorOf(reserve("10.244.9.0/24"))).toMatchObject({ code: "invalid" });
  expect(await errorOf(reserve("10.244.1.0/25"))).toMatchObject({ code: "invalid" });
  expect(await errorOf(reserve("10.244.1.0/24", "b"))).toMatchObject({ code: "conflict", message: "node a has it" });
  expect(await errorOf(reserve("10.244.0.0/24", "b"))).toMatchObject({ code: "conflict" });
  await store.create(SUBNETS, "10.244.2.0-23", new Uint8Array());
  const free = b.subnet === p("10.244.2.0/24") ? "10.244.3.0/24" : "10.244.2.0/24";
  await claimer().release(holder("a", "impostor"), p(free));
  expect(await errorOf(reserve(free))).toMatchObject({ code: "conflict", message: "a claim of another length has it" });

  await unreserveSubnet(store, p("10.244.0.0/24"));
  await unreserveSubnet(store, p("10.244.0.0/24"));
  expect(await stored()).not.toContain("10.244.0.0-24");
  await unreserveSubnet(store, p("10.244.1.0/24"));
  expect((await store.get(SUBNETS, "10.244.1.0-24"))?.expiresAt).toBe(clock.now() + 24 * hours);
});

test("the keeper renews in time, says when it cannot, and ends with the loss", async () => {
  const { clock, store, claimer } = setUp();
  const one = claimer();
  const first = await one.claim(holder("a"));
  const control = { away: false };
  const seen: string[] = [];
  const renew: SubnetClaimer["renew"] = (who, held) => {
    if (control.away) throw new TwillError("unavailable", "the datastore is away");
    return one.renew(who, held);
  };
  const kept = keepSubnet({ renew }, holder("a"), first, {
    clock,
    signal: new AbortController().signal,
    onHeld: () => seen.push("held"),
    onUnconfirmed: (_, expired) => seen.push(expired ? "expired" : "unconfirmed"),
  });
  const pass = async (minutes: number) => {
    for (let minute = 0; minute < minutes; minute++) {
      await clock.advance(60_000);
      await Bun.sleep(0);
    }
  };
  await pass(26 * 60);
  expect(new Set(seen)).toEqual(new Set(["held"]));
  seen.length = 0;
  control.away = true;
  await pass(10);
  expect(new Set(seen)).toEqual(new Set(["unconfirmed"]));
  await pass(24 * 60);
  expect(seen.at(-1)).toBe("expired");
  control.away = false;
  expect(await store.get(SUBNETS, claimName(first.subnet))).toBeUndefined();
  await pass(2);
  expect(await kept).toEqual({ type: "lost", subnet: first.subnet });
});

test("the keeper ends with its signal", async () => {
  const { clock, claimer } = setUp();
  const one = claimer();
  const end = new AbortController();
  const kept = keepSubnet(one, holder("a"), await one.claim(holder("a")), { clock, signal: end.signal });
  end.abort();
  expect(await kept).toBeUndefined();
});
