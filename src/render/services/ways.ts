import type { Family } from "../../base/address.ts";
import type { NftElement } from "../../objects/nft.ts";
import { hostData } from "../../objects/nft-data.ts";
import { dice } from "./dice.ts";
import {
  affineChain,
  dieChain,
  dropChain,
  guardedChain,
  refuseChain,
  rememberChain,
  type Stage,
  serviceSets,
} from "./names.ts";

/**
 * Numbers of the chains that a pool may lead to. Pools are mapped to numbers, and constant maps lead from numbers to chains: with a chain in an
 * element, the kernel looks for loops through every element of the table (nft_table_validate), 8 ms at 30,000 Services. A map for each stage,
 * for a stage that led to itself would be such a loop.
 */
const families: readonly Family[] = [4, 6];
const chainsOf: Readonly<Record<Exclude<Stage, "affine">, readonly string[]>> = {
  dice: [refuseChain, dropChain, ...families.flatMap((family) => dice.map((faces) => dieChain(family, faces)))],
  admitted: families.map(affineChain),
  pools: families.map(guardedChain),
};
const numbers: ReadonlyMap<string, number> = new Map(
  [...chainsOf.dice, ...chainsOf.admitted, ...chainsOf.pools].map((chain, index) => [chain, index + 1]),
);

/** @param chain any but those that remember. */
export const wayTo = (chain: string): number => numbers.get(chain) ?? 0;

/** Seconds are at most a day (17 bits). */
export const wayToRemember = (family: Family, seconds: number): number => family * 2 ** 24 + seconds;

/** Elements of the constant maps, by set. @param affinitySeconds of which there are chains. */
export function wayElements(affinitySeconds: ReadonlySet<number>): ReadonlyMap<string, readonly NftElement[]> {
  const of = (chains: readonly string[]): NftElement[] =>
    chains.map((chain) => ({ key: hostData(wayTo(chain)), data: { verdict: "goto", chain } }));
  const remember = [...affinitySeconds].flatMap((seconds) =>
    families.map(
      (family): NftElement => ({
        key: hostData(wayToRemember(family, seconds)),
        // The masquerade stands behind it.
        data: { verdict: "jump", chain: rememberChain(family, seconds) },
      }),
    ),
  );
  return new Map([
    [serviceSets.ways.dice, of(chainsOf.dice)],
    [serviceSets.ways.admitted, of([...chainsOf.dice, ...chainsOf.admitted])],
    [serviceSets.ways.pools, of([...chainsOf.dice, ...chainsOf.admitted, ...chainsOf.pools])],
    [serviceSets.ways.affine, remember],
  ]);
}
