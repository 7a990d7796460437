import { type Address, addressFromNumber, bytesOf, type Family, familyOf, widthOf } from "../../base/address.ts";
import { baseOf, lengthOf, type Prefix, prefixFamily } from "../../base/prefix.ts";

/**
 * The address space, cut by the prefixes that rules name. Prefixes nest or are disjoint, so a cell is a prefix without those
 * within it, and what holds in it is said by the prefixes around it: at most 33, or 129.
 */
export class Cells<T> {
  readonly #roots: Readonly<Record<Family, Branch<T>>> = {
    4: { cell: newCell<T>(undefined), zero: undefined, one: undefined },
    6: { cell: newCell<T>(undefined), zero: undefined, one: undefined },
  };

  /** The cell of that prefix, made if there is none. */
  ensure(prefix: Prefix): { readonly cell: Cell<T>; readonly made: boolean } {
    const branch = this.#branch(prefix);
    // The root's own cell is what no prefix covers; /0 takes its place.
    if (branch.cell !== undefined && branch.cell.prefix === prefix) return { cell: branch.cell, made: false };
    branch.cell = newCell<T>(prefix);
    return { cell: branch.cell, made: true };
  }

  /** Nothing when it is not there. */
  delete(prefix: Prefix): void {
    const bytes = bytesOf(baseOf(prefix));
    const length = lengthOf(prefix);
    const root = this.#roots[prefixFamily(prefix)];
    if (length === 0) {
      root.cell = newCell<T>(undefined);
      return;
    }
    remove(root, 0);

    function remove(branch: Branch<T>, depth: number): void {
      if (depth === length) {
        branch.cell = undefined;
        return;
      }
      const next = isSet(bytes, depth) ? branch.one : branch.zero;
      if (next === undefined) return;
      remove(next, depth + 1);
      if (next.cell !== undefined || next.zero !== undefined || next.one !== undefined) return;
      if (next === branch.one) branch.one = undefined;
      else branch.zero = undefined;
    }
  }

  /** Those whose prefixes contain the address, the widest first; the first of all is what no prefix covers, unless /0 is there. */
  around(address: Address, length: number = widthOf(familyOf(address))): readonly Cell<T>[] {
    const bytes = bytesOf(address);
    const found: Cell<T>[] = [];
    let branch: Branch<T> | undefined = this.#roots[familyOf(address)];
    for (let depth = 0; branch !== undefined; depth++) {
      if (branch.cell !== undefined) found.push(branch.cell);
      if (depth === length) break;
      branch = isSet(bytes, depth) ? branch.one : branch.zero;
    }
    return found;
  }

  /** Those of prefixes within this one, itself among them. */
  within(prefix: Prefix): readonly Cell<T>[] {
    const bytes = bytesOf(baseOf(prefix));
    const length = lengthOf(prefix);
    let branch: Branch<T> | undefined = this.#roots[prefixFamily(prefix)];
    for (let depth = 0; depth < length && branch !== undefined; depth++) {
      branch = isSet(bytes, depth) ? branch.one : branch.zero;
    }
    const found: Cell<T>[] = [];
    collect(branch);
    return found;

    function collect(at: Branch<T> | undefined): void {
      if (at === undefined) return;
      if (at.cell !== undefined) found.push(at.cell);
      collect(at.zero);
      collect(at.one);
    }
  }

  /** Ascending ranges of the whole address space with what `of` says of their cells; neighbours that are equal are joined. */
  ranges<V>(of: (cell: Cell<T>) => V): readonly Range<V>[] {
    return ([4, 6] as const).flatMap((family) => rangesIn(this.#roots[family], family, of));
  }

  #branch(prefix: Prefix): Branch<T> {
    const bytes = bytesOf(baseOf(prefix));
    const length = lengthOf(prefix);
    let branch = this.#roots[prefixFamily(prefix)];
    for (let depth = 0; depth < length; depth++) {
      const side = isSet(bytes, depth) ? "one" : "zero";
      branch = branch[side] ??= { cell: undefined, zero: undefined, one: undefined };
    }
    return branch;
  }
}

export interface Cell<T> {
  /** Undefined: what no prefix covers. */
  readonly prefix: Prefix | undefined;
  /** Conditions that name the prefix among those that match, and among those that are excepted. */
  readonly inside: Set<T>;
  readonly except: Set<T>;
}

export interface Range<V> {
  readonly first: Address;
  readonly last: Address;
  readonly value: V;
}

interface Branch<T> {
  cell: Cell<T> | undefined;
  zero: Branch<T> | undefined;
  one: Branch<T> | undefined;
}

const newCell = <T>(prefix: Prefix | undefined): Cell<T> => ({ prefix, inside: new Set(), except: new Set() });

/** Bit 0 is the most significant. */
const isSet = (bytes: Uint8Array, bit: number): boolean => (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1;

function rangesIn<T, V>(root: Branch<T>, family: Family, of: (cell: Cell<T>) => V): readonly Range<V>[] {
  const width = widthOf(family);
  const starts: { readonly first: bigint; readonly value: V }[] = [];
  if (root.cell === undefined) return [];
  walk(root, 0, 0n, of(root.cell));
  return starts.map(({ first, value }, index) => {
    const next = starts[index + 1]?.first ?? 1n << BigInt(width);
    return { first: addressFromNumber(family, first), last: addressFromNumber(family, next - 1n), value };
  });

  function walk(branch: Branch<T>, depth: number, first: bigint, around: V): void {
    const value = branch.cell === undefined ? around : of(branch.cell);
    if (branch.zero === undefined && branch.one === undefined) {
      emit(first, value);
      return;
    }
    const half = 1n << BigInt(width - depth - 1);
    if (branch.zero === undefined) emit(first, value);
    else walk(branch.zero, depth + 1, first, value);
    if (branch.one === undefined) emit(first + half, value);
    else walk(branch.one, depth + 1, first + half, value);
  }

  function emit(first: bigint, value: V): void {
    if (starts.at(-1)?.value !== value || starts.length === 0) starts.push({ first, value });
  }
}
