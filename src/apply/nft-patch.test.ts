import { describe, expect, onTestFinished, test } from "bun:test";
import { silentLog } from "../base/log.ts";
import { FakeNft } from "../kernel/fake-nft.ts";
import { closeFile } from "../kernel/file.ts";
import { createNetns } from "../kernel/netns.ts";
import type { Nft } from "../kernel/nft.ts";
import { openNft } from "../kernel/nft-socket.ts";
import type { NftElement, NftSet, NftTableContent } from "../objects/nft.ts";
import { hostData, networkData } from "../objects/nft-data.ts";
import { intervalElements } from "../objects/nft-interval.ts";
import { NftTableKeeper } from "./nft-table.ts";

const at = { family: "inet", table: "twill" } as const;
const set = (name: string, rest: Partial<NftSet> = {}): NftSet => ({
  ...at,
  name,
  key: ["ipv4_addr"],
  keyLength: 4,
  data: { type: "mark", length: 4 },
  ...rest,
});
const entry = (key: number, value: number): NftElement => ({ key: networkData(key), data: hostData(value) });
const ranges = (...list: readonly (readonly [number, number, number])[]): NftElement[] =>
  intervalElements(
    list.map(([first, last, value]) => ({ first: networkData(first), last: networkData(last), data: hostData(value) })),
  );

const kernels = {
  kernel: (): Nft => {
    const netns = createNetns();
    const nft = openNft({ netns });
    onTestFinished(() => {
      nft.close();
      closeFile(netns);
    });
    return nft;
  },
  fake: (): Nft => new FakeNft(),
};

const content = (size: number, elements: NftElement[], others: NftElement[], nets: NftElement[]): NftTableContent => ({
  table: { family: "inet", name: "twill" },
  chains: [{ ...at, name: "a" }],
  rules: ["exact", "other", "nets"].map((name) => ({
    ...at,
    chain: "a",
    comment: name,
    expressions: [
      { type: "payload", base: "network", offset: 12, length: 4, to: 0 },
      { type: "lookup", set: name, from: 0, to: 0 },
    ],
  })),
  sets: [
    { set: set("exact", { size }), elements },
    { set: set("other"), elements: others },
    { set: set("nets", { interval: true }), elements: nets },
  ],
});
const start = (nft: Nft, size = 100) => {
  const keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
  keeper.apply(content(size, [entry(1, 1), entry(2, 2)], [entry(1, 1)], ranges([10, 19, 1])));
  const held = (name: string) =>
    nft
      .elements({ ...at, set: name })
      .map(({ key, data, intervalEnd }) => `${key}${intervalEnd === true ? "]" : `=${data}`}`)
      .toSorted();
  const words = (list: readonly NftElement[]) =>
    list.map(({ key, data, intervalEnd }) => `${key}${intervalEnd === true ? "]" : `=${data}`}`).toSorted();
  return { nft, keeper, held, words };
};

describe.each(Object.entries(kernels))("%s", (_, open) => {
  test("elements of several sets change in one transaction", () => {
    const { nft, keeper, held, words } = start(open());
    const { dumps } = nft.counters;
    const generation = nft.generation();
    const report = keeper.patch([
      { set: "exact", put: [entry(2, 3), entry(4, 4)], remove: [networkData(1)] },
      { set: "other", put: [entry(9, 9)], remove: [networkData(7)] },
    ]);
    expect(report).toEqual({ writes: { "element.delete": 1, "element.add": 2 }, transactions: 1, read: false });
    expect(nft.generation() - generation).toBe(1);
    expect(nft.counters.dumps).toBe(dumps);
    expect(held("exact")).toEqual(words([entry(2, 3), entry(4, 4)]));
    expect(held("other")).toEqual(words([entry(1, 1), entry(9, 9)]));
  });

  test("together with ranges, it is one transaction all the same", () => {
    const { nft, keeper, held, words } = start(open());
    const generation = nft.generation();
    const nets = ranges([10, 14, 1], [30, 39, 2]);
    const gone = ranges([10, 19, 1]).map((each) => (each.intervalEnd === true ? `${each.key}]` : each.key));
    keeper.patch([
      { set: "exact", put: [entry(2, 3)], remove: [networkData(1)] },
      { set: "nets", put: nets, remove: gone },
    ]);
    expect(nft.generation() - generation).toBe(1);
    expect(held("exact")).toEqual(words([entry(2, 3)]));
    expect(held("nets")).toEqual(words(nets));
    keeper.resync();
    expect(keeper.reapply().writes).toEqual({});
  });

  test("a set that is full is declared anew, larger, and stays so", () => {
    const { nft, keeper, held, words } = start(open(), 4);
    const many = Array.from({ length: 9 }, (__, index) => entry(100 + index, index));
    keeper.patch([
      { set: "exact", put: many },
      { set: "other", put: [entry(5, 5)] },
    ]);
    expect(held("exact")).toEqual(words([entry(1, 1), entry(2, 2), ...many]));
    expect(nft.sets("inet", "twill").find(({ name }) => name === "exact")?.size).toBe(16);
    expect(keeper.patch([{ set: "exact", put: [entry(7, 7)] }]).writes).toEqual({ "element.add": 1 });
    keeper.resync();
    expect(keeper.reapply().writes).toEqual({});
    // Whoever renders it anew would declare less; nothing is made anew for that.
    const next = content(8, [entry(1, 1), entry(2, 2)], [entry(1, 1)], ranges([10, 19, 1]));
    expect(keeper.apply(next).writes).toEqual({ "element.delete": 2 });
    // As long as it is not far too much.
    expect(keeper.apply(content(1, [entry(1, 1)], [entry(1, 1)], ranges([10, 19, 1]))).writes).toMatchObject({
      "set.delete": 1,
      "set.add": 1,
    });
  });
});

test("what the kernel refuses is named; without it the rest goes in", () => {
  const { keeper, held, words } = start(kernels.kernel());
  const bad: NftElement = { key: networkData(77), data: "0102" as NftElement["data"] & string };
  const patch = [
    { set: "exact", put: [entry(3, 3), bad, entry(4, 4)], remove: [networkData(1)] },
    { set: "other", put: [entry(2, 2)] },
  ];
  expect(() => keeper.patch(patch)).toThrow(expect.objectContaining({ errno: 22 }));
  expect(held("exact")).toEqual(words([entry(1, 1), entry(2, 2)]));
  const refused = keeper.refusedElements();
  expect(refused.map(({ set: name, element, op }) => [name, element, op])).toEqual([["exact", bad, "element.add"]]);
  expect(held("exact")).toEqual(words([entry(1, 1), entry(2, 2)]));
  // Nothing of it is wanted any more.
  expect(keeper.reapply().writes).toEqual({});
  keeper.patch([
    { set: "exact", put: [entry(3, 3), entry(4, 4)], remove: [networkData(1)] },
    { set: "other", put: [entry(2, 2)] },
  ]);
  expect(held("exact")).toEqual(words([entry(2, 2), entry(3, 3), entry(4, 4)]));
  expect(held("other")).toEqual(words([entry(1, 1), entry(2, 2)]));
});

test("several among thousands are found, in a table that is loaded", () => {
  const nft = kernels.kernel();
  const keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
  const many = Array.from({ length: 3000 }, (__, index) => entry(1000 + index, index));
  const bad = [7, 1500, 2999].map((index) => ({ key: networkData(5000 + index), data: hostData(1).slice(2) }));
  const mixed = [...many.slice(0, 10), bad[0], ...many.slice(10, 2000), bad[1], ...many.slice(2000), bad[2]];
  const table = content(8192, mixed as NftElement[], [], []);
  expect(() => keeper.apply(table)).toThrow(expect.objectContaining({ errno: 22 }));
  const refused = keeper.refusedElements();
  expect(refused.map(({ element }) => element)).toEqual(bad as NftElement[]);
  keeper.apply(content(8192, many, [], []));
  expect(nft.elements({ ...at, set: "exact" })).toHaveLength(3000);
});
