import { type Address, numberOf, widthOf } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { baseOf, covers, lengthOf, offsetIn, type Prefix, prefixFamily, sizeOf, subnetAt } from "../base/prefix.ts";
import type { NetworkRange } from "../model/network.ts";

/** First and last index of subnets, inclusive. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/**
 * The subnets that may be leased, numbered from 0 (subnetMin) to count − 1 (subnetMax).
 *
 * Indexes are doubles, so a space ends after 2^53 subnets: only an IPv6 network wider than /11 has more /64s, and no
 * cluster will see the end of it.
 */
export interface SubnetSpace {
  readonly range: NetworkRange;
  readonly count: number;
  /** The subnets of this space that overlap the prefix; undefined when none does. */
  spanOf(prefix: Prefix): Span | undefined;
  /** The index of a subnet that could be leased: of the right length and inside the space. */
  indexOf(subnet: Prefix): number | undefined;
  at(index: number): Prefix;
}

/** @throws TwillError `invalid` for a range that the configuration's parser would refuse. */
export function subnetSpace(range: NetworkRange): SubnetSpace {
  const { network, subnetLength, subnetMin, subnetMax } = range;
  const family = prefixFamily(network);
  for (const [field, subnet] of [
    ["SubnetMin", subnetMin],
    ["SubnetMax", subnetMax],
  ] as const) {
    if (!covers(network, subnet) || lengthOf(subnet) !== subnetLength) {
      throw new TwillError("invalid", `${field} ${subnet} is not a /${subnetLength} inside ${network}`, {
        operation: "lease subnet",
        object: network,
        remedy: `set ${field} to a /${subnetLength} of ${network}`,
      });
    }
  }
  const step = BigInt(widthOf(family) - subnetLength);
  const indexIn = (address: Address): bigint => offsetIn(network, address) >> step;
  const first = indexIn(baseOf(subnetMin));
  const last = indexIn(baseOf(subnetMax));
  if (last < first) {
    throw new TwillError("invalid", `SubnetMin ${subnetMin} is above SubnetMax ${subnetMax}`, {
      operation: "lease subnet",
      object: network,
      remedy: "exchange them",
    });
  }
  const size = last - first + 1n;
  const count = size > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(size);

  const spanOf = (prefix: Prefix): Span | undefined => {
    if (prefixFamily(prefix) !== family) return undefined;
    const start = numberOf(baseOf(prefix)) - numberOf(baseOf(network));
    const from = (start >> step) - first;
    const to = ((start + sizeOf(prefix) - 1n) >> step) - first;
    if (to < 0n || from >= BigInt(count)) return undefined;
    return { first: from < 0n ? 0 : Number(from), last: to >= BigInt(count) ? count - 1 : Number(to) };
  };

  return {
    range,
    count,
    spanOf,
    indexOf: (subnet) => {
      if (lengthOf(subnet) !== subnetLength) return undefined;
      return spanOf(subnet)?.first;
    },
    at: (index) => subnetAt(network, subnetLength, first + BigInt(index)),
  };
}

export const sameRange = (a: NetworkRange, b: NetworkRange): boolean =>
  a.network === b.network &&
  a.subnetLength === b.subnetLength &&
  a.subnetMin === b.subnetMin &&
  a.subnetMax === b.subnetMax;
