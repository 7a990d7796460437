import { expect, test } from "bun:test";
import { pick, seededRandom } from "../base/random.ts";
import { DesiredParts } from "./desired-parts.ts";

interface Entry {
  readonly key: string;
  readonly value: number;
}

test("property: of parts that name one key the first counts, whatever came and went before", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const subject = new DesiredParts<Entry>(({ key }) => key);
    const parts = new Map<string, readonly Entry[]>();
    for (let step = 0; step < 50; step++) {
      const part = pick(random, ["", "a", "b", "c", "d"]);
      const entries = Array.from({ length: random.below(5) }, () => ({
        key: `k${random.below(6)}`,
        value: random.below(9),
      }));
      const before = new Map([..."012345"].map((digit) => [`k${digit}`, subject.get(`k${digit}`)]));
      const touched = subject.replace(part, parts.get(part) ?? [], entries);
      parts.set(part, entries);
      for (const [key, old] of before) {
        const names = [...parts.keys()].sort();
        const wanted = names.flatMap((name) => parts.get(name) ?? []).find((entry) => entry.key === key);
        expect({ seed, step, key, entry: subject.get(key) }).toEqual({ seed, step, key, entry: wanted });
        expect(subject.has(key)).toBe(wanted !== undefined);
        if (touched.has(key)) expect(touched.get(key)).toBe(old);
        else expect(subject.get(key)).toBe(old);
      }
      expect([...subject.keys()].sort()).toEqual([...before.keys()].filter((key) => subject.has(key)));
    }
  }
});

test("the same part again touches nothing", () => {
  const subject = new DesiredParts<Entry>(({ key }) => key);
  const entries = [{ key: "k", value: 1 }];
  expect([...subject.replace("a", [], entries).keys()]).toEqual(["k"]);
  expect(subject.replace("a", entries, entries).size).toBe(0);
});
