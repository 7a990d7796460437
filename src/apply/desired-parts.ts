/** An entry as one part names it; `next` where a later part names the same key. */
interface Named<D> {
  readonly part: string;
  readonly entry: D;
  next: Named<D> | undefined;
}

/**
 * Desired entries by key, put together from parts that are replaced one at a time. Of parts that name the same key the first
 * by name counts, and when that goes, the next: what is desired follows from the parts alone, in whatever order they came.
 * The parts themselves are the owner's, who says what they were: kept in each table again, they would be most of its memory.
 */
export class DesiredParts<D> {
  readonly #keyOf: (entry: D) => string;
  readonly #named = new Map<string, Named<D>>();

  constructor(keyOf: (entry: D) => string) {
    this.#keyOf = keyOf;
  }

  get(key: string): D | undefined {
    return this.#named.get(key)?.entry;
  }

  has(key: string): boolean {
    return this.#named.has(key);
  }

  keys(): Iterable<string> {
    return this.#named.keys();
  }

  /**
   * Makes `after` all the entries of the part, which were `before`; of two with one key, the first.
   * @returns each key that the part named or names, with the entry that counted before.
   */
  replace(part: string, before: readonly D[], after: readonly D[]): ReadonlyMap<string, D | undefined> {
    const touched = new Map<string, D | undefined>();
    if (before === after) return touched;
    for (const entry of before) {
      const key = this.#keyOf(entry);
      if (touched.has(key)) continue;
      touched.set(key, this.get(key));
      this.#withdraw(key, part);
    }
    const named = new Set<string>();
    for (const entry of after) {
      const key = this.#keyOf(entry);
      if (named.has(key)) continue;
      named.add(key);
      if (!touched.has(key)) touched.set(key, this.get(key));
      this.#name(key, part, entry);
    }
    return touched;
  }

  #name(key: string, part: string, entry: D): void {
    const first = this.#named.get(key);
    if (first === undefined || part < first.part) {
      this.#named.set(key, { part, entry, next: first });
      return;
    }
    let before = first;
    while (before.next !== undefined && before.next.part < part) before = before.next;
    before.next = { part, entry, next: before.next };
  }

  #withdraw(key: string, part: string): void {
    const first = this.#named.get(key);
    if (first === undefined) return;
    if (first.part === part) {
      if (first.next === undefined) this.#named.delete(key);
      else this.#named.set(key, first.next);
      return;
    }
    let before = first;
    while (before.next !== undefined && before.next.part !== part) before = before.next;
    before.next = before.next?.next;
  }
}
