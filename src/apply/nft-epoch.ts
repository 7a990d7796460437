import type { NftOperation } from "../kernel/nft.ts";
import { epochElements, epochKey, type NftElement } from "../objects/nft.ts";
import { numberOfHostData } from "../objects/nft-data.ts";
import { additionOf, type ElementChanges, nameOf, removalOf } from "./nft-set-diff.ts";
import type { WantedSet, WantedTable } from "./nft-table-diff.ts";

/** The set in which a table's epoch stands; undefined: its rules ask for none. */
export const epochSetOf = ({ sets }: WantedTable): WantedSet | undefined =>
  sets.values().find(({ role }) => role === "epoch");

/** Whether packets could take one lookup from before the change and one from behind it, and come to what neither says. */
export function needsEpoch(all: readonly (ElementChanges & Pick<WantedSet, "role">)[]): boolean {
  const changes = all.filter(({ role }) => role !== "apart");
  const rowsOnly = changes.every(({ role, remove, add }) => role === "rows" || remove.length + add.length === 0);
  const removes = changes.some(({ remove }) => remove.length > 0);
  const adds = changes.some(({ add }) => add.length > 0);
  return !rowsOnly || (removes && adds);
}

/** To stand with the change in its transaction, and what the set holds afterwards. */
export function nextEpoch({ set, elements }: WantedSet): {
  readonly operations: readonly NftOperation[];
  readonly elements: readonly NftElement[];
} {
  const next = epochElements((numberIn(elements) % greatest) + 1);
  const name = nameOf(set);
  return { operations: [...removalOf(name, [...elements.values()]), ...additionOf(name, next)], elements: next };
}

const greatest = 0xffff_fffe;

function numberIn(elements: WantedSet["elements"]): number {
  const data = elements.get(epochKey)?.data;
  return typeof data === "string" ? numberOfHostData(data) : 0;
}
