import { expect, test } from "bun:test";
import { compare, formatReport } from "./report.ts";
import { pairedRatio, summarize } from "./statistics.ts";

test("quantiles are values of the sample, whatever its order", () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(summarize(values)).toEqual({ count: 100, p50: 50, p99: 99, minimum: 1, maximum: 100, spread: 25 });
  expect(summarize([7])).toEqual({ count: 1, p50: 7, p99: 7, minimum: 7, maximum: 7, spread: 0 });
});

test("noise that hits both sides of a pair does not move the ratio", () => {
  const noise = [1, 5, 2, 9, 3, 40, 1, 2];
  const { ratio, spread, uncertainty } = pairedRatio(
    noise.map((factor) => 2 * factor),
    noise.map((factor) => 4 * factor),
  );
  expect([ratio, spread, uncertainty]).toEqual([0.5, 0, 0]);
});

test("a goal is missed only by more than the measurement is uncertain", () => {
  const verdict = (ours: readonly number[]) => {
    const theirs = ours.map(() => 100);
    const row = compare({ what: "x", against: "y", unit: "ms", ours, theirs, goal: { most: 0.6 } });
    return formatReport({ name: "x", title: "x", about: "", rows: [row], seconds: 1 })
      .trimEnd()
      .split(" ")
      .at(-1);
  };
  expect(verdict([58, 59, 60, 61, 62])).toBe("reached");
  expect(verdict([50, 55, 62, 70, 75])).toBe("undecided");
  expect(verdict([70, 71, 72, 73, 74])).toBe("MISSED");
});
