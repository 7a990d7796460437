import type { NftElement, NftSet } from "../objects/nft.ts";
import type { NftData } from "../objects/nft-data.ts";

/** The elements of a set, found as the kernel finds them. */
class SetIndex {
  readonly #exact = new Map<string, NftElement>();
  /** By key; of one field, so that an end and the next start stand in their order. */
  readonly #edges: NftElement[] = [];
  readonly #ranges: NftElement[] = [];
  readonly #catchAll: NftElement | undefined;

  constructor(set: NftSet, elements: readonly NftElement[]) {
    for (const element of elements) {
      if (element.key === "") this.#catchAll = element;
      else if (element.keyEnd !== undefined) this.#ranges.push(element);
      else if (set.interval !== true || set.key.length > 1) this.#exact.set(element.key, element);
      else this.#edges.push(element);
    }
    // An end stands before the start that has the same key: there the next range begins.
    const order = (element: NftElement) => (element.intervalEnd === true ? 0 : 1);
    this.#edges.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : order(a) - order(b)));
  }

  find(key: string): NftElement | undefined {
    return (
      this.#exact.get(key) ?? this.#between(key) ?? this.#ranges.find((range) => holds(range, key)) ?? this.#catchAll
    );
  }

  /** The last edge at or before the key, if it begins a range. */
  #between(key: string): NftElement | undefined {
    let [low, high] = [0, this.#edges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#edges[middle]?.key ?? "") <= key) low = middle + 1;
      else high = middle;
    }
    const edge = this.#edges[low - 1];
    return edge?.intervalEnd === true ? undefined : edge;
  }
}

/** Each field of a concatenation lies in words of its own, so each word is compared alone. */
function holds({ key: first, keyEnd: last = "" as NftData }: NftElement, key: string): boolean {
  for (let at = 0; at < key.length; at += 8) {
    const word = key.slice(at, at + 8);
    if (word < first.slice(at, at + 8) || word > last.slice(at, at + 8)) return false;
  }
  return true;
}

const indexes = new WeakMap<readonly NftElement[], SetIndex>();

/** @param elements the array as it was read: its index is kept with it, so it must not change. */
export function findElement(set: NftSet, elements: readonly NftElement[], key: string): NftElement | undefined {
  let index = indexes.get(elements);
  if (index === undefined) {
    index = new SetIndex(set, elements);
    indexes.set(elements, index);
  }
  return index.find(key);
}
