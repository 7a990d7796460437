import type { NftElement } from "./nft.ts";
import type { NftData } from "./nft-data.ts";

/** A closed range of keys, in network order, with what a map gives for it. */
export interface KeyRange {
  readonly first: NftData;
  readonly last: NftData;
  readonly data?: NftElement["data"];
}

/**
 * The elements of an interval set of one field: the kernel's tree holds where each range begins and, exclusive, where it
 * ends. Ranges that touch, with the same data, are merged. The end of a range that reaches the last key of all is left out.
 * @throws RangeError when ranges overlap: which of them should win is the caller's decision.
 */
export function intervalElements(ranges: readonly KeyRange[]): NftElement[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: KeyRange[] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before !== undefined && range.first <= before.last) {
      throw new RangeError(`ranges ${before.first}-${before.last} and ${range.first}-${range.last} overlap`);
    }
    if (before !== undefined && successor(before.last) === range.first && sameData(before.data, range.data)) {
      merged[merged.length - 1] = { ...before, last: range.last };
    } else merged.push(range);
  }
  return merged.flatMap((range) => {
    const start: NftElement = { key: range.first, ...(range.data === undefined ? {} : { data: range.data }) };
    const end = successor(range.last);
    return end === undefined ? [start] : [start, { key: end, intervalEnd: true }];
  });
}

/** The key after this one; undefined after ff…ff. */
function successor(key: NftData): NftData | undefined {
  const next = BigInt(`0x${key}`) + 1n;
  const text = next.toString(16).padStart(key.length, "0");
  return text.length > key.length ? undefined : (text as NftData);
}

const sameData = (a: NftElement["data"], b: NftElement["data"]): boolean => JSON.stringify(a) === JSON.stringify(b);
