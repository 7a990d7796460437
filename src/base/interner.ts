/**
 * One value for all that are equal, so that 30,000 pods of 500 deployments keep 500 sets of labels. Bounded: what was not asked for
 * through two generations is forgotten, which costs a second copy and nothing else.
 */
export class Interner<T> {
  readonly #generation: number;
  #young = new Map<string, T>();
  #old = new Map<string, T>();

  /** @param generation values kept at least. */
  constructor(generation = 20_000) {
    this.#generation = generation;
  }

  /** @param key equal for equal values only. */
  intern(key: string, value: T): T {
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    const kept = this.#old.get(key) ?? value;
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, kept);
    return kept;
  }
}
