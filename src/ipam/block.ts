import type { Address } from "../base/address.ts";
import { addressAt, contains, offsetIn, type Prefix, sizeOf } from "../base/prefix.ts";

/** How many addresses at the start and at the end of a block no pod may have. */
export interface Margins {
  readonly first: number;
  readonly last: number;
}

/** How an address stands in its block. Times are milliseconds of the boot clock. */
export type Standing =
  | { readonly type: "free" | "used" | "reserved" }
  | { readonly type: "quarantined"; readonly until: number };

/**
 * How many released addresses a block remembers in order, quarantined ones apart. All of a block up to /20; of a larger
 * one those that were released last. What is forgotten is free, and used again when the rest has been used once.
 */
const memory = 4096;
/** Forgotten together, not one by one. */
const slack = 64;

/**
 * The addresses of one prefix: which are used, and which one is next. Pure: no I/O, no clock.
 *
 * Next is an address that was never used, in order, then the one that was released the longest ago: so an address is
 * used again as late as possible, and what still believes in its former owner (conntrack, neighbour caches, clients)
 * has had the most time to forget. Every operation is independent of the size of the prefix, so an IPv6 /64 is
 * no different. A node that Flannel gives a /24 has one block; several smaller ones a node make no difference here.
 */
export class Block {
  readonly prefix: Prefix;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #used = new Set<bigint>();
  /** Until when each is in quarantine, in the order of release, which is that of the ends of quarantine. */
  readonly #released = new Map<bigint, number>();
  /** Below it everything was used once. */
  #cursor: bigint;
  #forgot = false;

  constructor(prefix: Prefix, margins: Margins) {
    this.prefix = prefix;
    this.#first = BigInt(margins.first);
    this.#last = sizeOf(prefix) - 1n - BigInt(margins.last);
    this.#cursor = this.#first;
  }

  /** How many addresses pods can have. */
  get size(): bigint {
    return this.#last < this.#first ? 0n : this.#last - this.#first + 1n;
  }

  get used(): number {
    return this.#used.size;
  }

  quarantined(now: number): number {
    let count = 0;
    for (const until of this.#released.values()) if (until > now) count++;
    return count;
  }

  /** When the first of the addresses in quarantine leaves it. */
  nextFreeAt(): number | undefined {
    return this.#oldest()?.[1];
  }

  contains(address: Address): boolean {
    return contains(this.prefix, address);
  }

  standing(address: Address, now: number): Standing {
    const offset = offsetIn(this.prefix, address);
    if (this.#used.has(offset)) return { type: "used" };
    const until = this.#released.get(offset);
    if (until !== undefined && until > now) return { type: "quarantined", until };
    return { type: offset < this.#first || offset > this.#last ? "reserved" : "free" };
  }

  /** The address that should be used next; it is not taken yet. Undefined: there is none now. */
  next(now: number): Address | undefined {
    let offset = this.#neverUsed();
    if (offset === undefined && this.#forgot) {
      this.#forgot = false;
      this.#cursor = this.#first;
      offset = this.#neverUsed();
    }
    if (offset === undefined) {
      const oldest = this.#oldest();
      if (oldest === undefined || oldest[1] > now) return undefined;
      offset = oldest[0];
    }
    return addressAt(this.prefix, offset);
  }

  take(address: Address): void {
    const offset = offsetIn(this.prefix, address);
    this.#released.delete(offset);
    this.#used.add(offset);
  }

  /** `until` must not go back from one release to the next. */
  release(address: Address, until: number): void {
    const offset = offsetIn(this.prefix, address);
    this.#used.delete(offset);
    this.#released.delete(offset);
    if (offset >= this.#first && offset <= this.#last) this.#released.set(offset, until);
  }

  /** What need not be remembered any longer: the releases beyond the memory that are out of quarantine. */
  forgettable(now: number): Address[] {
    let surplus = this.#released.size - memory;
    if (surplus <= slack) return [];
    const addresses: Address[] = [];
    for (const [offset, until] of this.#released) {
      if (surplus-- <= 0 || until > now) break;
      addresses.push(addressAt(this.prefix, offset));
    }
    return addresses;
  }

  forget(address: Address): void {
    if (this.#released.delete(offsetIn(this.prefix, address))) this.#forgot = true;
  }

  #neverUsed(): bigint | undefined {
    while (this.#used.has(this.#cursor) || this.#released.has(this.#cursor)) this.#cursor++;
    return this.#cursor <= this.#last ? this.#cursor : undefined;
  }

  #oldest(): [offset: bigint, until: number] | undefined {
    for (const entry of this.#released) return entry;
    return undefined;
  }
}
