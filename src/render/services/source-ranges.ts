import { covers, lengthOf, type Prefix } from "../../base/prefix.ts";
import type { NftElement } from "../../objects/nft.ts";
import { concatenated, hostData, prefixRange } from "../../objects/nft-data.ts";

/** Clients of one pool, of one family: what lies in another range is left out, for ranges in a set may not overlap. */
export function rangeElements(pool: number, ranges: readonly Prefix[]): NftElement[] {
  const widest = [...new Set(ranges)].sort((a, b) => lengthOf(a) - lengthOf(b));
  const kept: Prefix[] = [];
  for (const range of widest) if (!kept.some((other) => covers(other, range))) kept.push(range);
  return kept.map((range) => {
    const { first, last } = prefixRange(range);
    return { key: concatenated(hostData(pool), first), keyEnd: concatenated(hostData(pool), last) };
  });
}
