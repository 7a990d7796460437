import type { PoolName } from "../../model/services-state.ts";

/**
 * Pools' numbers in the kernel: 31 bits of a hash of the name, so that a restarted agent gives the same, and what connections and affinities
 * remember stays true; or the next free number behind it. The lowest bit is not a pool's (`labels.cut`); 0 is no pool.
 */
export class PoolNumbers {
  readonly #numbers = new Map<PoolName, number>();
  readonly #taken = new Set<number>();
  readonly #hash: (name: string) => number;

  /** @param hash 32 bits; others than the real one for tests. */
  constructor(hash: (name: string) => number = (name) => Bun.hash.xxHash32(name)) {
    this.#hash = hash;
  }

  of(name: PoolName): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    let number = even(this.#hash(name));
    while (number === 0 || this.#taken.has(number)) number = even(number + 2);
    this.#numbers.set(name, number);
    this.#taken.add(number);
    return number;
  }

  /** Undefined: none has been asked for. */
  find(name: PoolName): number | undefined {
    return this.#numbers.get(name);
  }

  forget(name: PoolName): void {
    const number = this.#numbers.get(name);
    this.#numbers.delete(name);
    if (number !== undefined) this.#taken.delete(number);
  }
}

const even = (number: number): number => (number & ~1) >>> 0;
