import type { Prefix } from "../base/prefix.ts";
import type { Random } from "../base/random.ts";
import type { Span, SubnetSpace } from "./subnet-space.ts";

/** Which indexes of a space are not free. Claims of another length (SubnetLen was changed) are spans of several. */
export class TakenSubnets {
  readonly #single = new Set<number>();
  readonly #wide: Span[] = [];

  add(span: Span): void {
    if (span.first === span.last) this.#single.add(span.first);
    else this.#wide.push(span);
  }

  has(index: number): boolean {
    return this.#single.has(index) || this.#wideAt(index) !== undefined;
  }

  /** The first free index from `start` on, below `end`. Costs one step for each taken one on the way, never more. */
  nextFree(start: number, end: number): number | undefined {
    let index = start;
    while (index < end) {
      const wide = this.#wideAt(index);
      if (wide !== undefined) index = wide.last + 1;
      else if (this.#single.has(index)) index++;
      else return index;
    }
    return undefined;
  }

  #wideAt(index: number): Span | undefined {
    return this.#wide.find((span) => span.first <= index && index <= span.last);
  }
}

/** Enough that a network half full is nearly always decided by chance alone. */
const probes = 16;

/**
 * Which subnet to try: the preferred one when it is free, else a random one. Random, because nodes that start together
 * and count upwards would all try the same one. In a network nearly full the probes fail and the next free one after
 * a random place is taken. Undefined: none is free.
 */
export function chooseSubnet(
  space: SubnetSpace,
  taken: TakenSubnets,
  preferred: Prefix | undefined,
  random: Random,
): Prefix | undefined {
  const wanted = preferred === undefined ? undefined : space.indexOf(preferred);
  if (wanted !== undefined && !taken.has(wanted)) return space.at(wanted);
  let index = 0;
  for (let probe = 0; probe < probes; probe++) {
    index = random.below(space.count);
    if (!taken.has(index)) return space.at(index);
  }
  const found = taken.nextFree(index, space.count) ?? taken.nextFree(0, index);
  return found === undefined ? undefined : space.at(found);
}
