/** Randomness is passed in, so that a failing test can print its seed and be run again. */
export interface Random {
  /** A whole number from 0 to limit − 1. */
  below(limit: number): number;
  bytes(count: number): Uint8Array;
}

export const systemRandom: Random = {
  below: (limit) => {
    const value = new Uint32Array(1);
    crypto.getRandomValues(value);
    return Math.floor(((value[0] ?? 0) / 2 ** 32) * limit);
  },
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
};

/** xorshift32: repeatable, for tests and fuzzing only. */
export function seededRandom(seed: number): Random {
  let state = seed | 0 || 0x9e3779b9;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    below: (limit) => Math.floor((next() / 2 ** 32) * limit),
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
  };
}

export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}
