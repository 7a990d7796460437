import { expect, onTestFinished, test } from "bun:test";
import { silentLog } from "../base/log.ts";
import { pick, type Random, seededRandom } from "../base/random.ts";
import { FakeNft } from "../kernel/fake-nft.ts";
import { closeFile } from "../kernel/file.ts";
import { createNetns } from "../kernel/netns.ts";
import type { Nft } from "../kernel/nft.ts";
import { openNft } from "../kernel/nft-socket.ts";
import {
  elementKey,
  type NftChain,
  type NftElement,
  type NftRule,
  type NftSet,
  type NftTableContent,
} from "../objects/nft.ts";
import { concatenated, hostData, networkData, portData } from "../objects/nft-data.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { intervalElements } from "../objects/nft-interval.ts";
import { NftTableKeeper } from "./nft-table.ts";

/**
 * Whatever tables follow one another, the kernel holds the last one, and applying it again writes nothing. Chains jump only
 * to chains behind them in the alphabet, so that no circle arises.
 */
const seed = Number(process.env.PROPERTY_SEED ?? 1);
const steps = 60;
const at = { family: "inet", table: "twill" } as const;
const names = ["a", "b", "c", "d"] as const;

const source: NftExpression = { type: "payload", base: "network", offset: 12, length: 4, to: 0 };
const port: NftExpression = { type: "payload", base: "transport", offset: 2, length: 2, to: 1 };
const exact: NftSet = { ...at, name: "exact", key: ["ipv4_addr"], keyLength: 4, data: { type: "mark", length: 4 } };
const dispatch: NftSet = { ...at, name: "dispatch", key: ["ipv4_addr"], keyLength: 4, data: { type: "verdict" } };
const nets: NftSet = { ...at, name: "nets", key: ["ipv4_addr"], keyLength: 4, interval: true };
const pairs: NftSet = { ...at, name: "pairs", key: ["ipv4_addr", "inet_service"], keyLength: 8, interval: true };

function randomTable(random: Random): NftTableContent {
  const has = (): boolean => random.below(3) > 0;
  const regular = names.filter(has);
  const chains: NftChain[] = regular.map((name) => ({ ...at, name }));
  const forward = { type: "filter", hook: "forward", policy: "accept", priority: pick(random, [0, 0, 0, 5]) } as const;
  chains.push({ ...at, name: "forward", base: has() ? forward : { ...forward, policy: "drop" } });
  const elements = {
    exact: some(random, (number) => ({ key: networkData(number), data: hostData(random.below(3)) })),
    dispatch:
      regular.length === 0
        ? []
        : some(random, (number) => ({
            key: networkData(number),
            data: { verdict: "jump", chain: pick(random, regular) },
          })),
    nets: intervalElements(
      some(random, (number) => number).map((number) => ({
        first: networkData(number * 4),
        last: networkData(number * 4 + random.below(4)),
      })),
    ),
    pairs: some(random, (number) => ({
      key: concatenated(networkData(number), portData(number * 10)),
      keyEnd: concatenated(networkData(number), portData(number * 10 + random.below(5))),
    })),
  };
  const size = random.below(4) === 0 ? { size: 100 } : {};
  const sets = [{ ...exact, ...size }, dispatch, nets, pairs].filter(has).map((set) => ({
    set,
    elements: elements[set.name as keyof typeof elements] as NftElement[],
  }));
  const uses: Readonly<Record<string, readonly NftExpression[]>> = {
    exact: [source, { type: "lookup", set: "exact", from: 0, to: 0 }],
    dispatch: [source, { type: "lookup", set: "dispatch", from: 0, to: "verdict" }],
    nets: [source, { type: "lookup", set: "nets", from: 0, invert: true }],
    pairs: [source, port, { type: "lookup", set: "pairs", from: 0 }],
  };
  const rules = chains.flatMap(({ name, base }) =>
    Array.from({ length: random.below(8) }, (): NftRule => {
      const targets = regular.filter((other) => base !== undefined || other > name);
      const set = pick(random, [...sets.map((each) => each.set.name), ""]);
      const expressions: NftExpression[] = [{ type: "counter" }];
      // A verdict map may lead anywhere, so only the base chain asks it.
      if (set !== "" && (set !== "dispatch" || base !== undefined)) expressions.push(...(uses[set] ?? []));
      else if (targets.length > 0 && has())
        expressions.push({ type: "verdict", verdict: { verdict: "jump", chain: pick(random, targets) } });
      return { ...at, chain: name, expressions, comment: `rule ${random.below(4)}` };
    }),
  );
  return { table: { family: "inet", name: "twill" }, chains, rules, sets };
}

function some<T>(random: Random, make: (number: number) => T): T[] {
  return Array.from({ length: 8 }, (_, number) => number)
    .filter(() => random.below(2) === 0)
    .map(make);
}

/** Everything that matters of a table, in one order. */
function plain(content: NftTableContent | undefined): unknown {
  const chains = content?.chains.toSorted((a, b) => (a.name < b.name ? -1 : 1)) ?? [];
  return {
    chains: chains.map(({ name, base }) => ({
      name,
      base,
      rules: content?.rules
        .filter(({ chain }) => chain === name)
        .map(({ expressions, comment }) => [
          comment,
          ...expressions.map((each) => (each.type === "counter" ? "counter" : each)),
        ]),
    })),
    sets: content?.sets
      .map(({ set: { handle: _, ...set }, elements }) => ({
        ...set,
        elements: elements.map((each) => [elementKey(each), each.data]).toSorted(),
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function follow(nft: Nft, random: Random): void {
  const keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
  for (let step = 0; step < steps; step++) {
    const content = randomTable(random);
    if (random.below(5) === 0) keeper.resync();
    keeper.apply(content);
    expect(plain(nft.read("inet", "twill"))).toEqual(plain(content));
    expect(keeper.apply(structuredClone(content)).writes).toEqual({});
  }
}

test(`any table follows any other, in the kernel (seed ${seed})`, () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const nft = openNft({ netns });
  onTestFinished(() => nft.close());
  follow(nft, seededRandom(seed));
}, 60_000);

test(`and in the fake, with owner and without (seed ${seed})`, () => {
  follow(new FakeNft(), seededRandom(seed));
  follow(new FakeNft(undefined, { persist: false }), seededRandom(seed + 1));
}, 60_000);
