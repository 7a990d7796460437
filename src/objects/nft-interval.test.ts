import { expect, test } from "bun:test";
import { parsePrefix } from "../base/prefix.ts";
import { type NftData, networkData, prefixRange } from "./nft-data.ts";
import { intervalElements, type KeyRange } from "./nft-interval.ts";

const range = (first: number, last: number, data?: NftData): KeyRange => ({
  first: networkData(first),
  last: networkData(last),
  ...(data === undefined ? {} : { data }),
});
const shown = (ranges: readonly KeyRange[]) =>
  intervalElements(ranges).map(
    ({ key, intervalEnd }) => `${Number.parseInt(key, 16)}${intervalEnd === true ? "]" : ""}`,
  );

test("each range begins, and ends before the key behind it", () => {
  expect(shown([range(10, 19), range(1, 1)])).toEqual(["1", "2]", "10", "20]"]);
});

test("ranges that touch become one, unless they mean different things", () => {
  expect(shown([range(1, 4), range(5, 9)])).toEqual(["1", "10]"]);
  const [one, two] = [networkData(1), networkData(2)];
  expect(shown([range(1, 4, one), range(5, 9, two)])).toEqual(["1", "5]", "5", "10]"]);
});

test("the last range of all has no end", () => {
  expect(shown([range(5, 0xffffffff)])).toEqual(["5"]);
  expect(shown([{ ...prefixRange(parsePrefix("0.0.0.0/0")) }])).toEqual(["0"]);
});

test("an overlap is the caller's to decide", () => {
  expect(() => intervalElements([range(1, 5), range(5, 9)])).toThrow(RangeError);
});
