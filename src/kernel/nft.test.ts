import { describe, expect, onTestFinished, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import type { NftSet, NftSetName } from "../objects/nft.ts";
import { byteData, concatenated, hostData, networkData, portData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { errnoName } from "./errno.ts";
import { FakeNft, FakeRuleset } from "./fake-nft.ts";
import { closeFile } from "./file.ts";
import { createNetns } from "./netns.ts";
import type { Nft, NftOperation } from "./nft.ts";
import { openNft } from "./nft-socket.ts";

/** What Nft promises, of the kernel and of the fake alike: each test is given a machine on which it may open sockets. */
const machines: Readonly<Record<string, () => () => Nft>> = {
  kernel: () => {
    const netns = createNetns();
    onTestFinished(() => closeFile(netns));
    return () => closing(openNft({ netns }));
  },
  fake: () => {
    const ruleset = new FakeRuleset();
    return () => closing(new FakeNft(ruleset));
  },
};

function closing(nft: Nft): Nft {
  onTestFinished(() => nft.close());
  return nft;
}

const at = { family: "inet", table: "twill" } as const;
const table: NftOperation = { op: "table.add", table: { family: "inet", name: "twill" } };
const chain = (name: string): NftOperation => ({ op: "chain.add", chain: { ...at, name } });
const forward: NftOperation = {
  op: "chain.add",
  chain: { ...at, name: "forward", base: { type: "filter", hook: "forward", priority: -5, policy: "accept" } },
};
const rule = (name: string, ...expressions: NftExpression[]): NftOperation => ({
  op: "rule.add",
  rule: { ...at, chain: name, expressions, comment: `in ${name}` },
});
const jump = (to: string): NftExpression => ({ type: "verdict", verdict: { verdict: "jump", chain: to } });
const classes: NftSet = {
  ...at,
  name: "classes",
  key: ["ipv4_addr"],
  keyLength: 4,
  data: { type: "mark", length: 4 },
  size: 3,
};
const classesName: NftSetName = { ...at, set: "classes" };
const entry = (address: number, number: number) => ({ key: networkData(address), data: hostData(number) });
const put = (...elements: ReturnType<typeof entry>[]): NftOperation => ({
  op: "element.add",
  set: classesName,
  elements,
});
const source: NftExpression = { type: "payload", base: "network", offset: 12, length: 4, to: 0 };
const lookup: NftExpression = { type: "lookup", set: "classes", from: 0, to: 0 };

/** The errno's name and the object at fault, or "done". */
function outcome(nft: Nft, ...operations: NftOperation[]): string {
  try {
    nft.transaction(operations);
    return "done";
  } catch (error) {
    if (!(error instanceof TwillError) || error.errno === undefined) throw error;
    return `${errnoName(error.errno)} ${error.object}`;
  }
}

describe.each(Object.entries(machines))("%s", (_, machine) => {
  test("what was written is read back, in order", () => {
    const nft = machine()();
    nft.transaction([
      { op: "table.add", table: { family: "inet", name: "twill", comment: "t" } },
      chain("a"),
      forward,
      { op: "set.add", set: classes },
      put(entry(1, 7), entry(2, 8)),
      rule("a", { type: "verdict", verdict: { verdict: "return" } }),
      rule("forward", source, lookup, jump("a")),
      rule("forward", { type: "verdict", verdict: { verdict: "accept" } }),
    ]);
    const content = nft.read("inet", "twill");
    expect(content?.table).toMatchObject({ family: "inet", name: "twill", comment: "t" });
    expect(content?.chains.map(({ name, base }) => [name, base])).toEqual([
      ["a", undefined],
      ["forward", { type: "filter", hook: "forward", priority: -5, policy: "accept" }],
    ]);
    expect(content?.rules.filter((found) => found.chain === "forward").map(({ expressions }) => expressions)).toEqual([
      [source, lookup, jump("a")],
      [{ type: "verdict", verdict: { verdict: "accept" } }],
    ]);
    expect(content?.sets[0]?.set).toMatchObject({ ...classes });
    expect(content?.sets[0]?.elements.toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([entry(1, 7), entry(2, 8)]);
    expect(nft.read("ip", "twill")).toBeUndefined();
  });

  test("rules go where they are told", () => {
    const nft = machine()();
    nft.transaction([table, chain("a"), rule("a", { type: "counter" }), rule("a", { type: "notrack" })]);
    const order = () => nft.rules({ ...at, chain: "a" }).map(({ key }) => key ?? "-");
    const [first, second] = nft.rules({ ...at, chain: "a" }).map(({ handle }) => handle ?? 0);
    const keyed = (key: string): Extract<NftOperation, { op: "rule.add" }> => ({
      op: "rule.add",
      rule: { ...at, chain: "a", expressions: [], key },
    });
    nft.transaction([
      { ...keyed("start"), place: { at: "start" } },
      keyed("end"),
      { ...keyed("behind first"), place: { at: "after", handle: first ?? 0 } },
      { ...keyed("before second"), place: { at: "before", handle: second ?? 0 } },
    ]);
    expect(order()).toEqual(["start", "-", "behind first", "before second", "-", "end"]);
    nft.transaction([{ ...keyed("for second"), place: { at: "instead", handle: second ?? 0 } }]);
    expect(order()).toEqual(["start", "-", "behind first", "before second", "for second", "end"]);
    nft.transaction([{ op: "rule.delete", ...at, chain: "a", handle: first ?? 0 }]);
    expect(order()).toEqual(["start", "behind first", "before second", "for second", "end"]);
    nft.transaction([{ op: "chain.flush", ...at, chain: "a" }]);
    expect(order()).toEqual([]);
  });

  test("a transaction is all or nothing, and the refusal names the operation", () => {
    const nft = machine()();
    expect(outcome(nft, table, chain("a"), rule("b", lookup))).toBe('ENOENT inet twill b "in b"');
    expect(nft.tables()).toEqual([]);
    expect(outcome(nft, chain("a"))).toBe("ENOENT inet twill a");
    expect(outcome(nft, { op: "table.delete", family: "inet", table: "twill" })).toBe("ENOENT inet twill");
  });

  test("elements: the same again is nothing, other data is refused, delete and add replace", () => {
    const nft = machine()();
    nft.transaction([table, { op: "set.add", set: classes }, put(entry(1, 7))]);
    expect(outcome(nft, put(entry(1, 7)))).toBe("done");
    expect(outcome(nft, put(entry(1, 8)))).toBe("EEXIST inet twill classes (1 elements)");
    const remove: NftOperation = { op: "element.delete", set: classesName, elements: [{ key: networkData(1) }] };
    expect(outcome(nft, remove, put(entry(1, 8)))).toBe("done");
    expect(nft.elements(classesName)).toEqual([entry(1, 8)]);
    expect(outcome(nft, put(entry(2, 1), entry(3, 1)))).toBe("done");
    expect(outcome(nft, put(entry(4, 1)))).toBe("ENFILE inet twill classes (1 elements)");
    expect(outcome(nft, remove, remove)).toBe("ENOENT inet twill classes (1 elements)");
    expect(outcome(nft, { op: "set.flush", set: classesName })).toBe("done");
    expect(nft.elements(classesName)).toEqual([]);
    expect(outcome(nft, { op: "set.add", set: { ...classes, size: 3 } })).toBe("done");
    expect(outcome(nft, { op: "set.add", set: { ...classes, keyLength: 16 } })).toBe("EEXIST inet twill classes");
  });

  test("what is in use stays", () => {
    const nft = machine()();
    const verdicts: NftSet = {
      ...at,
      name: "verdicts",
      key: ["mark", "inet_proto", "inet_service"],
      keyLength: 12,
      data: { type: "verdict" },
    };
    const dispatch: NftOperation = {
      op: "element.add",
      set: { ...at, set: "verdicts" },
      elements: [{ key: concatenated(hostData(7), byteData(6), portData(80)), data: { verdict: "goto", chain: "b" } }],
    };
    nft.transaction([table, chain("a"), chain("b"), { op: "set.add", set: classes }, { op: "set.add", set: verdicts }]);
    nft.transaction([rule("a", source, lookup), rule("a", jump("b")), dispatch]);
    expect(nft.elements({ ...at, set: "verdicts" })).toEqual([
      { key: concatenated(hostData(7), byteData(6), portData(80)), data: { verdict: "goto", chain: "b" } },
    ]);
    expect(outcome(nft, { op: "set.delete", set: classesName })).toBe("EBUSY inet twill classes");
    expect(outcome(nft, { op: "chain.delete", ...at, chain: "b" })).toBe("EBUSY inet twill b");
    expect(outcome(nft, { op: "chain.flush", ...at, chain: "a" }, { op: "chain.delete", ...at, chain: "b" })).toBe(
      "EBUSY inet twill b",
    );
    expect(
      outcome(
        nft,
        { op: "chain.flush", ...at, chain: "a" },
        { op: "set.delete", set: { ...at, set: "verdicts" } },
        { op: "chain.delete", ...at, chain: "b" },
        { op: "set.delete", set: classesName },
      ),
    ).toBe("done");
    expect(nft.read("inet", "twill")).toMatchObject({ rules: [], sets: [], chains: [{ name: "a" }] });
  });

  test("impossible chains and jumps are refused", () => {
    const nft = machine()();
    nft.transaction([table, chain("a"), chain("b"), forward, rule("a", jump("b")), rule("forward", jump("a"))]);
    expect(outcome(nft, rule("b", jump("a")))).toBe('EMLINK inet twill b "in b"');
    expect(outcome(nft, rule("a", jump("forward")))).toStartWith("EOPNOTSUPP");
    expect(outcome(nft, rule("a", jump("nowhere")))).toStartWith("ENOENT");
    const nat: NftOperation = {
      op: "chain.add",
      chain: { ...at, name: "nat", base: { type: "nat", hook: "forward", priority: 0, policy: "accept" } },
    };
    expect(outcome(nft, nat)).toStartWith("EOPNOTSUPP");
    const moved: NftOperation = {
      op: "chain.add",
      chain: { ...at, name: "forward", base: { type: "filter", hook: "forward", priority: 7, policy: "accept" } },
    };
    expect(outcome(nft, moved)).toMatch(/^(EOPNOTSUPP|EEXIST)/); // differs by version
  });

  test("a generation that is no longer so is a conflict", () => {
    const open = machine();
    const nft = open();
    const other = open();
    const before = nft.generation();
    nft.transaction([table], { generation: before });
    const after = nft.generation();
    expect(after).toBe(before + 1);
    other.transaction([chain("x")]);
    expect(() => nft.transaction([chain("y")], { generation: after })).toThrow(
      expect.objectContaining({ code: "conflict" }),
    );
    expect(nft.chains("inet").map(({ name }) => name)).toEqual(["x"]);
    nft.transaction([chain("y")], { generation: after + 1 });
  });

  test("owner and persist: nobody else may write, and the next socket takes the table over", () => {
    const open = machine();
    const owned: NftOperation = {
      op: "table.add",
      table: { family: "inet", name: "twill", owner: true, persist: true },
    };
    const nft = open();
    const other = open();
    nft.transaction([owned, chain("a")]);
    expect(nft.tables()[0]).toMatchObject({ owner: true, persist: true, ownerPort: nft.port });
    expect(outcome(other, chain("b"))).toBe("EPERM inet twill b");
    expect(outcome(other, { op: "table.delete", family: "inet", table: "twill" })).toBe("EPERM inet twill");
    expect(outcome(other, owned)).toBe("EPERM inet twill");
    nft.close();
    expect(other.tables()[0]).toMatchObject({ persist: true });
    expect(other.tables()[0]?.owner).toBeUndefined();
    expect(outcome(other, owned, chain("b"))).toBe("done");
    expect(other.tables()[0]).toMatchObject({ owner: true, persist: true, ownerPort: other.port });
    expect(other.chains("inet").map(({ name }) => name)).toEqual(["a", "b"]);
  });

  test("a table without owner stays without: only one that was made so can be taken", () => {
    const nft = machine()();
    nft.transaction([table]);
    const owned: NftOperation = {
      op: "table.add",
      table: { family: "inet", name: "twill", owner: true, persist: true },
    };
    expect(outcome(nft, owned)).toBe("EOPNOTSUPP inet twill");
  });

  test("reading what is not there", () => {
    const nft = machine()();
    expect(nft.tables()).toEqual([]);
    expect(nft.rules({ family: "inet", table: "twill" })).toEqual([]);
    expect(() => nft.elements(classesName)).toThrow(expect.objectContaining({ code: "not-found" }));
    expect(() => nft.sets("inet", "twill")).toThrow(expect.objectContaining({ code: "not-found" }));
  });

  test("only what changes the kernel is counted as a write", () => {
    const nft = machine()();
    nft.transaction([]);
    nft.transaction([table, chain("a"), chain("b")]);
    nft.read("inet", "twill");
    outcome(nft, rule("nope"));
    expect(nft.counters).toMatchObject({ writes: { "table.add": 1, "chain.add": 2 }, transactions: 2, failures: 1 });
  });
});

test("the kernel's refusals are told in words that fit", () => {
  const open = machines.kernel?.();
  const nft = open?.();
  const other = open?.();
  const owned = { family: "inet", name: "twill", owner: true, persist: true } as const;
  nft?.transaction([
    { op: "table.add", table: owned },
    { op: "set.add", set: classes },
  ]);
  const told = (socket: Nft | undefined, ...operations: NftOperation[]): string => {
    try {
      socket?.transaction(operations);
      return "done";
    } catch (error) {
      return error instanceof TwillError ? error.describe() : String(error);
    }
  };
  expect(told(nft, put(entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1)))).toBe(
    "add nf_tables element inet twill classes (4 elements): the set is full: it takes no more than its declared size (declare a larger size)",
  );
  expect(told(other, chain("b"))).toBe(
    "add nf_tables chain inet twill b: another process owns the table (stop it; while it lives, nobody else may change the table)",
  );
  expect(told(nft, chain("a"), rule("x", lookup), rule("y", lookup))).toBe(
    'add nf_tables rule inet twill x "in x": No such file or directory (ENOENT): at byte 16 of the payload (the first of 2 refusals, in a transaction of which nothing was done)',
  );
});
