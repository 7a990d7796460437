/** How many members a content has that bore a number before: number → weight. */
export type Votes = ReadonlyMap<number, number>;

/**
 * Numbers for contents, so that few rows change when contents do. A content's members vote with the number that they bear:
 * one that becomes another content as a whole keeps its number; of the parts of one that is cut, the largest has it; when two
 * become one, the larger's stays. Two contents that go on never swap, whoever moves between them. At the start, members vote
 * with what the kernel holds for them.
 */
export class Numbering {
  readonly #first: number;
  readonly #numbers = new Map<string, number>();
  readonly #owners = new Map<number, string>();
  readonly #free: number[] = [];
  #next: number;

  /** @param first the lowest number. */
  constructor(first: number) {
    this.#first = first;
    this.#next = first;
  }

  of(content: string): number | undefined {
    return this.#numbers.get(content);
  }

  /**
   * @param gone contents that have no members any more.
   * @param touched contents that have gained or lost members, with the votes of all their members.
   */
  settle(gone: Iterable<string>, touched: ReadonlyMap<string, Votes>): void {
    for (const content of gone) this.#release(content);
    const wishes = [...touched].flatMap(([content, votes]) =>
      [...votes].flatMap(([number, weight]) =>
        this.#mayWish(content, number, touched) ? [{ content, number, weight }] : [],
      ),
    );
    const isOwn = (wish: (typeof wishes)[number]) => (this.#numbers.get(wish.content) === wish.number ? 1 : 0);
    wishes.sort((a, b) => b.weight - a.weight || isOwn(b) - isOwn(a));
    const given = new Map<string, number>();
    const taken = new Set<number>();
    for (const { content, number } of wishes) {
      if (given.has(content) || taken.has(number)) continue;
      given.set(content, number);
      taken.add(number);
    }
    for (const [content, number] of given) if (this.#numbers.get(content) !== number) this.#release(content);
    for (const [content, number] of given) this.#give(content, number);
    for (const content of touched.keys()) {
      if (given.has(content)) continue;
      const own = this.#numbers.get(content);
      if (own === undefined) this.#give(content, this.#fresh());
    }
  }

  #mayWish(content: string, number: number, touched: ReadonlyMap<string, Votes>): boolean {
    if (number < this.#first) return false;
    const owner = this.#owners.get(number);
    if (owner === undefined || owner === content) return true;
    return touched.has(owner) && !this.#numbers.has(content);
  }

  #give(content: string, number: number): void {
    const owner = this.#owners.get(number);
    if (owner !== undefined && owner !== content) this.#numbers.delete(owner);
    this.#numbers.set(content, number);
    this.#owners.set(number, content);
  }

  #release(content: string): void {
    const number = this.#numbers.get(content);
    if (number === undefined) return;
    this.#numbers.delete(content);
    this.#owners.delete(number);
    this.#free.push(number);
  }

  /** A number that somebody took by vote may still be among the free ones. */
  #fresh(): number {
    for (let number = this.#free.pop(); number !== undefined; number = this.#free.pop()) {
      if (!this.#owners.has(number)) return number;
    }
    while (this.#owners.has(this.#next)) this.#next++;
    return this.#next++;
  }
}
