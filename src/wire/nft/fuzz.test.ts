import { expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import type { NftElement, NftRule, NftSet, NftType } from "../../objects/nft.ts";
import { dataOf, type NftData } from "../../objects/nft-data.ts";
import {
  comparisons,
  ctKeys,
  fibFlags,
  fibResults,
  logLevels,
  metaKeys,
  type NftExpression,
  type NftVerdict,
  natFlags,
  payloadBases,
  socketKeys,
} from "../../objects/nft-expression.ts";
import { decodeChain, newChain } from "./chain.ts";
import { keyLength } from "./data-type.ts";
import { decodeElements, newElements } from "./element.ts";
import { decodeRule, newRule } from "./rule.ts";
import { decodeSet, newSet } from "./set.ts";
import { decodeTable, newTable } from "./table.ts";

const seed = Number(process.env.FUZZ_SEED ?? 1);
const rounds = 3000;
const inet = { family: "inet", table: "t" } as const;

const u32 = (random: Random): number => random.below(2 ** 32);
const register = (random: Random): number => random.below(16);
const data = (random: Random): NftData => dataOf(random.bytes(1 + random.below(64)));
const name = (random: Random): string => `n${random.below(1000)}`;
const some = <T>(random: Random, items: readonly T[]): T[] => items.filter(() => random.below(2) === 0);
const maybe = <T extends object>(random: Random, value: T): T | object => (random.below(2) === 0 ? value : {});

const verdict = (random: Random): NftVerdict => {
  const kind = pick(random, ["accept", "drop", "continue", "break", "return", "jump", "goto"] as const);
  return kind === "jump" || kind === "goto" ? { verdict: kind, chain: name(random) } : { verdict: kind };
};

/** One maker for each type of expression: the type checker complains when one is forgotten. */
const makers: { readonly [T in NftExpression["type"]]: (random: Random) => NftExpression } = {
  payload: (r) => ({ type: "payload", base: pick(r, payloadBases), offset: u32(r), length: u32(r), to: register(r) }),
  "payload.set": (r) => ({
    type: "payload.set",
    base: pick(r, payloadBases),
    offset: u32(r),
    length: u32(r),
    from: register(r),
    checksum: pick(r, ["none", "inet", "sctp"]),
    ...maybe(r, { checksumOffset: 1 + r.below(99) }),
    ...maybe(r, { pseudoHeader: true }),
  }),
  meta: (r) => ({ type: "meta", key: pick(r, metaKeys), to: register(r) }),
  "meta.set": (r) => ({ type: "meta.set", key: pick(r, metaKeys), from: register(r) }),
  ct: (r) => ({ type: "ct", key: pick(r, ctKeys), to: register(r), ...maybe(r, { direction: "reply" as const }) }),
  "ct.set": (r) => ({
    type: "ct.set",
    key: pick(r, ctKeys),
    from: register(r),
    ...maybe(r, { direction: "original" as const }),
  }),
  cmp: (r) => ({ type: "cmp", from: register(r), op: pick(r, comparisons), value: data(r) }),
  range: (r) => ({ type: "range", from: register(r), op: pick(r, ["eq", "neq"]), first: data(r), last: data(r) }),
  bitwise: (r) => ({
    type: "bitwise",
    from: register(r),
    to: register(r),
    length: u32(r),
    mask: data(r),
    xor: data(r),
  }),
  shift: (r) => ({
    type: "shift",
    from: register(r),
    to: register(r),
    length: u32(r),
    direction: pick(r, ["left", "right"]),
    bits: data(r),
  }),
  byteorder: (r) => ({
    type: "byteorder",
    from: register(r),
    to: register(r),
    op: pick(r, ["ntoh", "hton"]),
    length: u32(r),
    size: pick(r, [2, 4, 8]),
  }),
  lookup: (r) => ({
    type: "lookup",
    set: name(r),
    from: register(r),
    ...maybe(r, { to: pick(r, [register(r), "verdict" as const]) }),
    ...maybe(r, { invert: true }),
  }),
  immediate: (r) => ({ type: "immediate", to: register(r), value: data(r) }),
  verdict: (r) => ({ type: "verdict", verdict: verdict(r) }),
  counter: (r) => ({ type: "counter", ...maybe(r, { packets: BigInt(u32(r)), bytes: BigInt(u32(r)) }) }),
  nat: (r) => ({
    type: "nat",
    kind: pick(r, ["snat", "dnat"]),
    family: pick(r, [4, 6]),
    ...maybe(r, { address: 0, ...maybe(r, { addressEnd: 4 }) }),
    ...maybe(r, { port: 1, ...maybe(r, { portEnd: 2 }) }),
    ...maybe(r, { flags: [pick(r, natFlags)] }),
  }),
  masquerade: (r) => ({ type: "masquerade", ...maybe(r, { port: 3 }), ...maybe(r, { flags: [...natFlags] }) }),
  redirect: (r) => ({ type: "redirect", ...maybe(r, { port: 3, ...maybe(r, { portEnd: 4 }) }) }),
  reject: (r) => ({
    type: "reject",
    kind: pick(r, ["icmp", "tcp-reset", "icmpx"]),
    ...maybe(r, { code: r.below(256) }),
  }),
  log: (r) => ({
    type: "log",
    ...maybe(r, { group: r.below(65536) }),
    ...maybe(r, { prefix: name(r) }),
    ...maybe(r, { snaplen: 1 + r.below(999) }),
    ...maybe(r, { threshold: 1 + r.below(999) }),
    ...maybe(r, {
      level: pick(
        r,
        logLevels.filter((level) => level !== "warn"),
      ),
    }),
    ...maybe(r, { flags: 1 + r.below(7) }),
  }),
  limit: (r) => ({
    type: "limit",
    rate: u32(r),
    unit: u32(r),
    burst: u32(r),
    of: pick(r, ["packets", "bytes"]),
    ...maybe(r, { invert: true }),
  }),
  fib: (r) => ({ type: "fib", to: register(r), result: pick(r, fibResults), flags: some(r, fibFlags) }),
  notrack: () => ({ type: "notrack" }),
  dynset: (r) => ({
    type: "dynset",
    set: name(r),
    op: pick(r, ["add", "update", "delete"]),
    key: register(r),
    ...maybe(r, { data: register(r) }),
    ...maybe(r, { timeout: 1 + u32(r) }),
    ...maybe(r, { invert: true }),
    ...maybe(r, {
      expressions: Array.from({ length: 1 + r.below(2) }, () => makers[pick(r, ["counter", "limit"] as const)](r)),
    }),
  }),
  object: (r) => ({ type: "object", object: u32(r), name: name(r) }),
  "object.map": (r) => ({ type: "object.map", set: name(r), from: register(r) }),
  socket: (r) => ({ type: "socket", key: pick(r, socketKeys), to: register(r), ...maybe(r, { level: u32(r) }) }),
  numgen: (r) => ({
    type: "numgen",
    to: register(r),
    modulus: u32(r),
    kind: pick(r, ["incremental", "random"]),
    ...maybe(r, { offset: 1 + (u32(r) % 99) }),
  }),
  jhash: (r) => ({
    type: "jhash",
    from: register(r),
    to: register(r),
    length: u32(r),
    modulus: u32(r),
    ...maybe(r, { seed: 1 + r.below(99) }),
  }),
  raw: (r) => ({ type: "raw", name: pick(r, ["quota", "queue", "xfrm"]), data: "0800010000000001" }),
};
const types = Object.keys(makers) as NftExpression["type"][];

test(`every expression survives the way to the bytes and back (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (const type of types) {
    for (let round = 0; round < 100; round++) {
      const rule: NftRule = { ...inet, chain: "c", expressions: [makers[type](random)], key: "0123456789abcdef" };
      expect(decodeRule(newRule(rule, { at: "end" }).payload)).toEqual(rule);
    }
  }
});

test("an expression with an attribute that we do not know is kept as it is", () => {
  const rule: NftRule = { ...inet, chain: "c", expressions: [{ type: "raw", name: "cmp", data: "0800630000000001" }] };
  expect(decodeRule(newRule(rule, { at: "end" }).payload)).toEqual(rule);
});

const keys: readonly NftType[] = ["ipv4_addr", "ipv6_addr", "inet_proto", "inet_service", "mark", "ifname"];

test(`sets and elements survive too (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 500; round++) {
    const key = Array.from({ length: 1 + random.below(3) }, () => pick(random, keys));
    const set: NftSet = {
      ...inet,
      name: name(random),
      key,
      keyLength: keyLength(key),
      ...maybe(random, { interval: true }),
      ...maybe(random, { timeout: true, defaultTimeout: 1 + u32(random) }),
      ...maybe(random, { size: 1 + (u32(random) % 1000) }),
      ...maybe(random, { comment: "c ö" }),
      ...maybe(random, { counter: true }),
      ...maybe(random, {
        data: pick(random, [
          { type: "verdict" },
          { type: "mark", length: 4 },
          { type: "concatenation", fields: ["mark", "inet_service"], length: 8 },
        ] as const),
      }),
    };
    expect(decodeSet(newSet(set, 1).payload)).toEqual(set);
    const elements = Array.from(
      { length: random.below(20) },
      (): NftElement => ({
        key: random.below(9) === 0 ? "" : data(random),
        ...maybe(random, { keyEnd: data(random) }),
        ...maybe(random, { intervalEnd: true }),
        ...maybe(random, { data: pick(random, [data(random), verdict(random)]) }),
        ...maybe(random, { timeout: u32(random) }),
        ...maybe(random, { comment: name(random) }),
      }),
    );
    const [message] = newElements({ ...inet, set: set.name }, elements);
    if (message !== undefined) expect(decodeElements(message.payload)).toEqual({ set: set.name, elements });
  }
});

test("elements are split where an attribute would be too long", () => {
  const random = seededRandom(seed);
  const elements = Array.from(
    { length: 5000 },
    (_, at): NftElement => ({ key: dataOf(random.bytes(64)), comment: `${at}` }),
  );
  const messages = newElements({ ...inet, set: "s" }, elements);
  expect(messages.length).toBeGreaterThan(5);
  for (const { payload } of messages) expect(payload.length).toBeLessThan(65_536);
  expect(messages.flatMap(({ payload }) => decodeElements(payload).elements)).toEqual(elements);
});

test(`bytes out of nowhere are refused as corrupt, never otherwise (seed ${seed})`, () => {
  const random = seededRandom(seed);
  const decoders = [decodeTable, decodeChain, decodeRule, decodeSet, decodeElements];
  const seeds = [
    newTable({ family: "inet", name: "t", comment: "c" }).payload,
    newChain({ ...inet, name: "c", base: { type: "nat", hook: "output", priority: -1, policy: "drop" } }).payload,
    newSet({ ...inet, name: "s", key: ["mark", "inet_service"], keyLength: 8, interval: true, size: 4 }, 1).payload,
    ...types.map(
      (type) =>
        newRule({ ...inet, chain: "c", expressions: [makers[type](random)], comment: "c" }, { at: "end" }).payload,
    ),
    ...newElements({ ...inet, set: "s" }, [{ key: data(random), data: verdict(random), comment: "c" }]).map(
      (m) => m.payload,
    ),
  ];
  for (let round = 0; round < rounds; round++) {
    const bytes = random.below(4) === 0 ? random.bytes(random.below(64)) : pick(random, seeds).slice();
    for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    for (const decode of decoders) {
      try {
        decode(bytes);
      } catch (error) {
        if (!(error instanceof TwillError) || error.code !== "corrupt") throw error;
      }
    }
  }
});

test(`what was read of damaged rules is written and read again the same (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const bytes = newRule(
      { ...inet, chain: "c", expressions: [makers[pick(random, types)](random)] },
      { at: "end" },
    ).payload;
    bytes[24 + random.below(bytes.length - 24)] = random.below(256);
    let rule: NftRule;
    try {
      rule = decodeRule(bytes);
    } catch {
      continue;
    }
    expect(decodeRule(newRule(rule, { at: "end" }).payload)).toEqual(rule);
  }
});
