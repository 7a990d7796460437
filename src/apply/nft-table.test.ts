import { describe, expect, onTestFinished, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { FakeNft, FakeRuleset } from "../kernel/fake-nft.ts";
import { closeFile } from "../kernel/file.ts";
import { createNetns } from "../kernel/netns.ts";
import type { Nft } from "../kernel/nft.ts";
import { openNft } from "../kernel/nft-socket.ts";
import type { NftChain, NftElement, NftRule, NftSet, NftSetContent, NftTableContent } from "../objects/nft.ts";
import { concatenated, hostData, networkData, portData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { intervalElements } from "../objects/nft-interval.ts";
import { NftTableKeeper } from "./nft-table.ts";

const at = { family: "inet", table: "twill" } as const;
const forward: NftChain = {
  ...at,
  name: "forward",
  base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
};
const chain = (name: string): NftChain => ({ ...at, name });
const rule = (name: string, comment: string, ...expressions: NftExpression[]): NftRule => ({
  ...at,
  chain: name,
  comment,
  expressions,
});
const source: NftExpression = { type: "payload", base: "network", offset: 12, length: 4, to: 0 };
const counter: NftExpression = { type: "counter" };
const accept: NftExpression = { type: "verdict", verdict: { verdict: "accept" } };
const jump = (to: string): NftExpression => ({ type: "verdict", verdict: { verdict: "jump", chain: to } });
const lookup = (set: string, to?: 0 | "verdict"): NftExpression => ({
  type: "lookup",
  set,
  from: 0,
  ...(to === undefined ? {} : { to }),
});
const classes: NftSet = {
  ...at,
  name: "classes",
  key: ["ipv4_addr"],
  keyLength: 4,
  data: { type: "mark", length: 4 },
  size: 200_000,
};
const entry = (address: number, number: number): NftElement => ({ key: networkData(address), data: hostData(number) });

function content(chains: NftChain[], rules: readonly NftRule[], sets: NftSetContent[] = []): NftTableContent {
  return { table: { family: "inet", name: "twill" }, chains, rules, sets };
}

/** What can be compared of a table: without handles. */
const plain = (found: NftTableContent | undefined) =>
  found && {
    chains: found.chains.map(({ name, base }) => ({ name, base })).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    rules: found.chains
      .map(({ name }) => name)
      .toSorted()
      .flatMap((name) => found.rules.filter((each) => each.chain === name).map(({ comment }) => `${name}: ${comment}`)),
    sets: found.sets.map(({ set, elements }) => ({
      name: set.name,
      elements: elements
        .map(({ key, keyEnd, intervalEnd, data }) => ({ key, keyEnd, intervalEnd, data }))
        .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    })),
  };

interface Machine {
  readonly open: () => Nft;
  /** A kernel with owner and persist. */
  readonly ownable: boolean;
}

const machines: Readonly<Record<string, () => Machine>> = {
  kernel: () => {
    const netns = createNetns();
    onTestFinished(() => closeFile(netns));
    return { open: () => closing(openNft({ netns })), ownable: true };
  },
  fake: () => {
    const ruleset = new FakeRuleset();
    return { open: () => closing(new FakeNft(ruleset)), ownable: true };
  },
  "fake before 6.9": () => {
    const ruleset = new FakeRuleset();
    return { open: () => closing(new FakeNft(ruleset, { persist: false })), ownable: false };
  },
};

function closing(nft: Nft): Nft {
  onTestFinished(() => nft.close());
  return nft;
}

const keeperOf = (nft: Nft): NftTableKeeper =>
  new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });

describe.each(Object.entries(machines))("%s", (_, machine) => {
  test("a table is made, left alone when nothing differs, changed by what differs", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    const first = content(
      [forward, chain("a")],
      [
        rule("forward", "one", source, lookup("classes", 0), jump("a")),
        rule("forward", "two", counter),
        rule("a", "three", accept),
      ],
      [{ set: classes, elements: [entry(1, 7), entry(2, 8)] }],
    );
    expect(keeper.apply(first)).toEqual({
      writes: { "table.add": 1, "chain.add": 2, "set.add": 1, "element.add": 1, "rule.add": 3 },
      transactions: 2,
      read: true,
    });
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(first));
    expect(keeper.apply(first)).toEqual({ writes: {}, transactions: 0, read: false });
    expect(keeper.apply(structuredClone(first)).writes).toEqual({});
    keeper.resync();
    expect(keeper.reapply()).toEqual({ writes: {}, transactions: 0, read: true });

    const second = content(
      [forward, chain("b")],
      [
        rule("forward", "zero", accept),
        rule("forward", "two", counter),
        rule("forward", "one", source, lookup("classes", 0), jump("b")),
      ],
      [{ set: classes, elements: [entry(1, 9), entry(3, 8)] }],
    );
    const report = keeper.apply(second);
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(second));
    expect(report.transactions).toBe(1);
    expect(report.writes).toMatchObject({ "rule.delete": 1, "rule.add": 2, "chain.delete": 1, "chain.add": 1 });
    expect(keeper.apply(second).writes).toEqual({});

    expect(keeper.remove().writes).toEqual({ "table.delete": 1 });
    expect(keeper.remove().writes).toEqual({});
    expect(nft.tables()).toEqual([]);
  });

  test("a new process finds what the last one left, and writes nothing but its name on it", () => {
    const { open, ownable } = machine();
    const old = open();
    const wanted = content(
      [forward, chain("a")],
      [rule("forward", "one", counter, jump("a")), rule("a", "two", accept)],
      [{ set: classes, elements: [entry(1, 7)] }],
    );
    keeperOf(old).apply(wanted);
    old.close();
    const keeper = keeperOf(open());
    expect(keeper.apply(wanted).writes).toEqual(ownable ? { "table.add": 1 } : {});
    expect(keeper.owned).toBe(ownable);
    expect(keeper.apply(wanted)).toEqual({ writes: {}, transactions: 0, read: false });
  });

  test("two processes do not share a table that can be owned", () => {
    const { open, ownable } = machine();
    keeperOf(open()).apply(content([forward], []));
    const second = keeperOf(open());
    if (ownable)
      expect(() => second.apply(content([forward], []))).toThrow(expect.objectContaining({ code: "denied" }));
    else expect(second.apply(content([forward], [])).writes).toEqual({});
  });

  test("one element of many is one small transaction, and nothing is read", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    const elements = Array.from({ length: 2000 }, (__, at) => entry(at, at % 10));
    keeper.apply(
      content([forward], [rule("forward", "one", source, lookup("classes", 0))], [{ set: classes, elements }]),
    );
    const { dumps } = nft.counters;
    expect(keeper.patch([{ set: "classes", put: [entry(5000, 1)] }])).toEqual({
      writes: { "element.add": 1 },
      transactions: 1,
      read: false,
    });
    expect(keeper.patch([{ set: "classes", put: [entry(5000, 1)] }]).writes).toEqual({});
    expect(keeper.patch([{ set: "classes", put: [entry(5000, 2)] }]).writes).toEqual({
      "element.delete": 1,
      "element.add": 1,
    });
    const key = networkData(5000);
    expect(keeper.patch([{ set: "classes", remove: [key], put: [entry(5000, 2)] }]).writes).toEqual({
      "element.delete": 1,
      "element.add": 1,
    });
    expect(keeper.patch([{ set: "classes", remove: [key] }]).writes).toEqual({ "element.delete": 1 });
    expect(keeper.patch([{ set: "classes", remove: [key] }]).writes).toEqual({});
    expect(nft.counters.dumps).toBe(dumps);
    expect(nft.elements({ ...at, set: "classes" })).toHaveLength(2000);
    expect(() => keeper.patch([{ set: "nope" }])).toThrow(expect.objectContaining({ code: "not-found" }));
    // What was patched stays wanted.
    keeper.patch([{ set: "classes", put: [entry(7000, 1)] }]);
    keeper.resync();
    expect(keeper.reapply().writes).toEqual({});
  });

  test("a set of another shape is replaced under the rules that use it", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    const rules = [
      rule("forward", "one", counter),
      rule("forward", "two", source, lookup("classes", 0)),
      rule("forward", "three", accept),
    ];
    keeper.apply(content([forward], rules, [{ set: classes, elements: [entry(1, 1)] }]));
    const larger = content([forward], rules, [{ set: { ...classes, size: 300_000 }, elements: [entry(1, 1)] }]);
    expect(keeper.apply(larger).writes).toEqual({
      "rule.delete": 1,
      "set.delete": 1,
      "set.add": 1,
      "element.add": 1,
      "rule.add": 1,
    });
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(larger));
    expect(keeper.apply(larger).writes).toEqual({});
  });

  test("ranges are replaced whole, with the rules that use them; a few concatenated ones are added in place", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    const nets: NftSet = { ...at, name: "nets", key: ["ipv4_addr"], keyLength: 4, interval: true };
    const ports: NftSet = { ...at, name: "ports", key: ["ipv4_addr", "inet_service"], keyLength: 8, interval: true };
    const port = (from: number, to: number): NftElement => ({
      key: concatenated(networkData(1), portData(from)),
      keyEnd: concatenated(networkData(1), portData(to)),
    });
    const rules = [
      rule("forward", "nets", source, lookup("nets"), accept),
      rule("forward", "ports", source, { ...source, to: 1 }, lookup("ports")),
    ];
    const make = (last: number, ...list: NftElement[]) =>
      content([forward], rules, [
        { set: nets, elements: intervalElements([{ first: networkData(10), last: networkData(last) }]) },
        { set: ports, elements: list },
      ]);
    keeper.apply(make(20, port(1, 2), port(5, 6)));
    expect(keeper.apply(make(30, port(1, 2), port(5, 6))).writes).toEqual({
      "rule.delete": 1,
      "set.delete": 1,
      "set.add": 1,
      "element.add": 1,
      "rule.add": 1,
    });
    expect(keeper.apply(make(30, port(1, 2), port(5, 6), port(8, 9))).writes).toEqual({ "element.add": 1 });
    const fewer = make(30, port(1, 2), port(8, 9));
    expect(keeper.apply(fewer).writes).toMatchObject({
      "set.delete": 1,
      "set.add": 1,
      "rule.delete": 1,
      "rule.add": 1,
    });
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(fewer));
  });

  test("a chain that moves, and one that becomes a base chain", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    keeper.apply(content([forward, chain("a")], [rule("forward", "one", jump("a")), rule("a", "two", accept)]));
    const moved: NftChain = { ...forward, base: { type: "filter", hook: "forward", priority: 9, policy: "accept" } };
    const second = content([moved, chain("a")], [rule("forward", "one", jump("a")), rule("a", "two", accept)]);
    expect(keeper.apply(second).writes).toMatchObject({ "chain.delete": 1, "chain.add": 1 });
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(second));
    const third = content(
      [moved, { ...forward, name: "a" }],
      [rule("forward", "one", counter), rule("a", "two", accept)],
    );
    expect(keeper.apply(third).writes).toMatchObject({ "table.delete": 1, "table.add": 1 });
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(third));
    expect(keeper.apply(third).writes).toEqual({});
  });

  test("a refused change leaves what was, and the next one goes on", () => {
    const nft = machine().open();
    const keeper = keeperOf(nft);
    const good = content([forward], [rule("forward", "one", accept)]);
    keeper.apply(good);
    const bad = content([forward], [rule("forward", "one", accept), rule("forward", "two", jump("nowhere"))]);
    expect(() => keeper.apply(bad)).toThrow(expect.objectContaining({ object: 'inet twill forward "two"' }));
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(good));
    expect(keeper.apply(good)).toEqual({ writes: {}, transactions: 0, read: true });
  });
});

describe("on a kernel before 6.9, where anybody may write", () => {
  const open = () => {
    const ruleset = new FakeRuleset();
    const nft = () => closing(new FakeNft(ruleset, { persist: false }));
    return { keeper: keeperOf(nft()), stranger: nft() };
  };
  const wanted = content(
    [forward],
    [rule("forward", "one", source, lookup("classes", 0)), rule("forward", "two", accept)],
    [{ set: classes, elements: [entry(1, 1)] }],
  );

  test("an edited rule, a deleted table and a foreign element are healed", () => {
    const { keeper, stranger } = open();
    keeper.apply(wanted);
    expect(keeper.changedByOthers()).toBe(false);
    const edited = stranger.rules(at).find(({ comment }) => comment === "two");
    stranger.transaction([
      {
        op: "rule.add",
        rule: { ...wanted.rules[1], ...at, chain: "forward", key: edited?.key ?? "", expressions: [counter] },
        place: { at: "instead", handle: edited?.handle ?? 0 },
      },
      { op: "element.add", set: { ...at, set: "classes" }, elements: [entry(2, 2)] },
    ]);
    expect(keeper.changedByOthers()).toBe(true);
    expect(keeper.reapply().writes).toEqual({ "rule.delete": 1, "rule.add": 1, "element.delete": 1 });
    expect(plain(stranger.read("inet", "twill"))).toEqual(plain(wanted));
    expect(stranger.rules(at).find(({ comment }) => comment === "two")?.expressions).toEqual([accept]);

    stranger.transaction([{ op: "table.delete", ...at }]);
    expect(keeper.changedByOthers()).toBe(true);
    keeper.reapply();
    expect(plain(stranger.read("inet", "twill"))).toEqual(plain(wanted));
    expect(keeper.changedByOthers()).toBe(false);
  });

  test("a table that was put to sleep is woken", () => {
    const { keeper, stranger } = open();
    keeper.apply(wanted);
    stranger.transaction([{ op: "table.add", table: { family: "inet", name: "twill", dormant: true } }]);
    expect(keeper.changedByOthers()).toBe(true);
    expect(keeper.reapply().writes).toEqual({ "table.add": 1 });
    expect(stranger.tables()[0]?.dormant).toBeUndefined();
  });

  test("a change on top of a foreign one reads first", () => {
    const { keeper, stranger } = open();
    keeper.apply(wanted);
    stranger.transaction([{ op: "element.add", set: { ...at, set: "classes" }, elements: [entry(2, 2)] }]);
    expect(keeper.patch([{ set: "classes", put: [entry(3, 3)] }]).read).toBe(true);
    expect(stranger.elements({ ...at, set: "classes" })).toEqual([entry(1, 1), entry(3, 3)]);
  });
});

test("when the answer is lost the kernel is asked what happened", () => {
  const fake = new FakeNft();
  const keeper = keeperOf(fake);
  const make = (...elements: NftElement[]) => content([forward], [], [{ set: classes, elements }]);
  keeper.apply(make(entry(1, 1)));
  const transaction = fake.transaction.bind(fake);
  fake.transaction = (...given) => {
    transaction(...given);
    throw new TwillError("unavailable", "lost", { errno: 105 });
  };
  expect(() => keeper.apply(make(entry(2, 2)))).toThrow(expect.objectContaining({ code: "unavailable" }));
  fake.transaction = transaction;
  expect(keeper.reapply()).toEqual({ writes: {}, transactions: 0, read: true });
  expect(fake.elements({ ...at, set: "classes" })).toEqual([entry(2, 2)]);
});

test("100,000 elements are loaded, found again after a restart, and changed one at a time", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const elements = Array.from({ length: 100_000 }, (__, index) => entry(0x0a000000 + index, index % 500));
  const wanted = content(
    [forward],
    [rule("forward", "one", source, lookup("classes", 0))],
    [{ set: classes, elements }],
  );
  const old = openNft({ netns });
  keeperOf(old).apply(wanted);
  old.close();
  const nft = closing(openNft({ netns }));
  const keeper = keeperOf(nft);
  expect(keeper.apply(wanted)).toEqual({ writes: { "table.add": 1 }, transactions: 1, read: true });
  expect(keeper.patch([{ set: "classes", put: [entry(1, 1)] }]).writes).toEqual({ "element.add": 1 });
  expect(nft.elements({ ...at, set: "classes" })).toHaveLength(100_001);
}, 60_000);

test("a socket that may send little loads in stages, and refuses what must be at once", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const elements = Array.from({ length: 20_000 }, (__, index) => entry(index, 1));
  const nft = closing(openNft({ netns, sendBuffer: 100_000 }));
  const keeper = keeperOf(nft);
  const wanted = content(
    [forward],
    [rule("forward", "one", source, lookup("classes", 0))],
    [{ set: classes, elements }],
  );
  expect(keeper.apply(wanted).writes).toMatchObject({ "element.add": 1, "rule.add": 1 });
  expect(nft.elements({ ...at, set: "classes" })).toHaveLength(20_000);
  const other = content([forward], wanted.rules, [
    { set: classes, elements: elements.map(({ key }) => ({ key, data: hostData(2) })) },
  ]);
  expect(() => keeper.apply(other)).toThrow(expect.objectContaining({ code: "exhausted" }));
}, 60_000);
