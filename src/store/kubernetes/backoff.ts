import type { Random } from "../../base/random.ts";

/**
 * The pause after so many failures, milliseconds: doubled each time up to the longest, half of it random, so that a
 * thousand nodes that lost the API server together do not come back together.
 */
export function backoff(failures: number, first: number, longest: number, random: Random): number {
  const pause = Math.min(longest, first * 2 ** Math.min(failures, 20));
  return pause / 2 + random.below(Math.ceil(pause / 2) + 1);
}
