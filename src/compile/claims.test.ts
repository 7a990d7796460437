import { expect, test } from "bun:test";
import { overlaps, type Prefix, parsePrefix } from "../base/prefix.ts";
import { pick, type Random, seededRandom } from "../base/random.ts";
import { type Claims, keyClaims, prefixClaims } from "./claims.ts";

/** The rule, said in the plainest way: one claim after the other, in order, against all that were granted. */
function judged<T>(claims: ReadonlyMap<string, readonly T[]>, first: string, clash: (a: T, b: T) => boolean): string[] {
  const names = [...claims.keys()].sort((a, b) => (a === first ? -1 : b === first ? 1 : a < b ? -1 : 1));
  const granted: { node: string; thing: T }[] = [];
  const verdicts: string[] = [];
  for (const node of names) {
    for (const thing of claims.get(node) ?? []) {
      const holder = granted.find((other) => clash(other.thing, thing));
      verdicts.push(`${node} ${thing} ${holder === undefined ? "granted" : `lost to ${holder.node} ${holder.thing}`}`);
      if (holder === undefined) granted.push({ node, thing });
    }
  }
  return verdicts.sort();
}

const verdictsOf = <T>(claims: Claims<T>, nodes: Iterable<string>): string[] =>
  [...nodes]
    .flatMap((node) => claims.of(node))
    .map(({ node, thing, lostTo }) => {
      return `${node} ${thing} ${lostTo === undefined ? "granted" : `lost to ${lostTo.node} ${lostTo.thing}`}`;
    })
    .sort();

/** Any claims by any nodes in any order, settled now and then; each time as if all were judged at once, and every change told. */
function converges<T>(make: (first: string) => Claims<T>, any: (random: Random) => T, clash: (a: T, b: T) => boolean) {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const claims = make("m");
    const held = new Map<string, readonly T[]>();
    let told: readonly string[] = [];
    for (let step = 0; step < 40; step++) {
      const node = pick(random, [..."abcdefghijklmnop"]);
      const things = Array.from({ length: random.below(3) }, () => any(random));
      held.set(node, things);
      claims.set(node, things);
      if (random.below(3) > 0) continue;
      const touched = claims.settle();
      const verdicts = verdictsOf(claims, held.keys());
      expect({ seed, step, verdicts }).toEqual({ seed, step, verdicts: judged(held, "m", clash) });
      const untold = (lines: readonly string[]) => lines.filter((line) => !touched.has(line.split(" ")[0] ?? ""));
      expect({ seed, step, untold: untold(verdicts) }).toEqual({ seed, step, untold: untold(told) });
      told = verdicts;
    }
  }
}

test("property: prefixes are settled step by step as they would be at once", () => {
  const any = (random: Random): Prefix =>
    random.below(5) === 0
      ? parsePrefix(`fd00:0:0:${random.below(8)}::/${pick(random, [60, 62, 64])}`)
      : parsePrefix(`10.0.${random.below(16)}.0/${pick(random, [20, 22, 23, 24, 24, 24])}`);
  converges(prefixClaims, any, overlaps);
});

test("property: keys are settled step by step as they would be at once", () => {
  converges(
    keyClaims,
    (random) => `key-${random.below(6)}`,
    (a, b) => a === b,
  );
});

test("when the winner goes, the next has it; what stands apart is never judged again", () => {
  const claims = prefixClaims("local");
  const subnet = parsePrefix("10.0.1.0/24");
  for (const [node, thing] of [
    ["b", subnet],
    ["a", subnet],
    ["c", parsePrefix("10.0.2.0/24")],
  ] as const)
    claims.set(node, [thing]);
  expect([...claims.settle()].sort()).toEqual(["a", "b", "c"]);
  expect(claims.of("b")[0]?.lostTo?.node).toBe("a");
  claims.set("a", []);
  expect([...claims.settle()].sort()).toEqual(["a", "b"]);
  expect(claims.of("b")[0]?.lostTo).toBeUndefined();
  expect([...claims.settle()]).toEqual([]);
});

test("one absurd claim over everything does not make every later one cost everything", () => {
  const claims = prefixClaims("local");
  const subnet = (number: number) => parsePrefix(`10.${number >> 8}.${number & 255}.0/24`);
  for (let number = 0; number < 2000; number++) claims.set(`n${String(number).padStart(5, "0")}`, [subnet(number)]);
  claims.set("z", [parsePrefix("10.0.0.0/8")]);
  claims.settle();
  claims.set("o", [subnet(5000)]);
  expect([...claims.settle()]).toEqual(["o"]);
  expect(claims.of("z")[0]?.lostTo?.node).toBe("n00000");
});
