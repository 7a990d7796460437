import type { Backend } from "../../model/services-state.ts";

/** Where a pool's endpoints stand: numbers without a gap, so that a die finds them. */
export class PoolSlots {
  readonly #slots: Backend[] = [];
  readonly #places = new Map<string, number>();

  get size(): number {
    return this.#slots.length;
  }

  at(index: number): Backend | undefined {
    return this.#slots[index];
  }

  *[Symbol.iterator](): Iterator<Backend> {
    yield* this.#slots;
  }

  /**
   * The last one moves into the place of one that goes, so that a change moves no more than it must.
   * @returns the places that hold another endpoint than before, or none any more; who went; who came.
   */
  become(backends: readonly Backend[]): {
    readonly places: ReadonlySet<number>;
    readonly gone: readonly Backend[];
    readonly come: readonly Backend[];
  } {
    const wanted = new Map(backends.map((each) => [endpointOf(each), each]));
    const gone = this.#slots.filter((each) => !wanted.has(endpointOf(each)));
    const come = backends.filter((each) => !this.#places.has(endpointOf(each)));
    const places = new Set<number>();
    for (const each of gone) {
      const index = this.#places.get(endpointOf(each));
      this.#places.delete(endpointOf(each));
      const last = this.#slots.pop();
      if (index === undefined || last === undefined) continue;
      places.add(this.#slots.length).add(index);
      if (index < this.#slots.length) this.#put(index, last);
    }
    for (const each of come) {
      places.add(this.#slots.length);
      this.#put(this.#slots.length, each);
    }
    return { places, gone, come };
  }

  #put(index: number, backend: Backend): void {
    this.#slots[index] = backend;
    this.#places.set(endpointOf(backend), index);
  }
}

/** An address that has moved to another node is another endpoint. */
const endpointOf = ({ address, port, local }: Backend): string => `${address} ${port} ${local}`;
