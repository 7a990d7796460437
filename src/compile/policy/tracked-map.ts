/** A Map that knows what has been other since it was last asked. Writing what was there before is no change. */
export class TrackedMap<K, V> extends Map<K, V> {
  readonly #before = new Map<K, V | undefined>();
  readonly #equal: (a: V, b: V) => boolean;

  constructor(equal: (a: V, b: V) => boolean = Object.is) {
    super();
    this.#equal = equal;
  }

  override set(key: K, value: V): this {
    if (!this.#before.has(key)) this.#before.set(key, this.get(key));
    return super.set(key, value);
  }

  override delete(key: K): boolean {
    if (!this.has(key)) return false;
    if (!this.#before.has(key)) this.#before.set(key, this.get(key));
    return super.delete(key);
  }

  /** @returns the entries that are other than at the last call; undefined: gone. */
  takeChanges(): ReadonlyMap<K, V | undefined> {
    const changes = new Map<K, V | undefined>();
    for (const [key, before] of this.#before) {
      const now = this.get(key);
      const same = before === undefined || now === undefined ? before === now : this.#equal(before, now);
      if (!same) changes.set(key, now);
    }
    this.#before.clear();
    return changes;
  }
}
