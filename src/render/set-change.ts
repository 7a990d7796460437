import { elementKey, type NftElement } from "../objects/nft.ts";

/** Elements of one set that are other than before. Every set at most once in a change. */
export interface SetChange {
  readonly set: string;
  readonly put: readonly NftElement[];
  /** As `elementKey` makes them. */
  readonly remove: readonly string[];
}

/** Gathers by set; what is put again is not removed. */
export class SetChanges {
  readonly #sets = new Map<string, { readonly put: Map<string, NftElement>; readonly remove: Set<string> }>();

  put(set: string, element: NftElement): void {
    const key = elementKey(element);
    const found = this.#of(set);
    found.remove.delete(key);
    found.put.set(key, element);
  }

  /** Of what is there now: what this change has put stays. */
  remove(set: string, key: string): void {
    const found = this.#of(set);
    if (!found.put.has(key)) found.remove.add(key);
  }

  all(): SetChange[] {
    return [...this.#sets].map(([set, { put, remove }]) => ({ set, put: [...put.values()], remove: [...remove] }));
  }

  #of(set: string): { readonly put: Map<string, NftElement>; readonly remove: Set<string> } {
    const found = this.#sets.get(set) ?? { put: new Map(), remove: new Set() };
    this.#sets.set(set, found);
    return found;
  }
}
