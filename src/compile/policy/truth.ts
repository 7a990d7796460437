import type { PeerMatch } from "../../model/policy.ts";

/**
 * Whether a condition holds. `maybe`: it cannot be told (the peer's labels are not known, the condition asks for what a
 * table cannot hold). Kleene's logic: not swaps, all is the least, any is the greatest.
 *
 * What may be is taken for the worse: a rule that may match does not allow, but it denies, and if it would pass on to the
 * next tier, it denies as well.
 */
export type Truth = 0 | 1 | 2;
export const no = 0;
export const maybe = 1;
export const yes = 2;

export const truthOf = (holds: boolean): Truth => (holds ? yes : no);
export const not = (truth: Truth): Truth => (truth === yes ? no : truth === no ? yes : maybe);
export const both = (a: Truth, b: Truth): Truth => (a < b ? a : b);
export const either = (a: Truth, b: Truth): Truth => (a > b ? a : b);

/** A peer's expression without the words that combine. */
export type PeerLeaf = Exclude<PeerMatch, { any: unknown } | { all: unknown } | { not: unknown }>;

export function truthOfPeer(match: PeerMatch, leaf: (leaf: PeerLeaf) => Truth): Truth {
  if ("any" in match) return match.any.reduce<Truth>((found, one) => either(found, truthOfPeer(one, leaf)), no);
  if ("all" in match) return match.all.reduce<Truth>((found, one) => both(found, truthOfPeer(one, leaf)), yes);
  if ("not" in match) return not(truthOfPeer(match.not, leaf));
  return leaf(match);
}

export function forEachLeaf(match: PeerMatch, visit: (leaf: PeerLeaf) => void): void {
  if ("any" in match) for (const one of match.any) forEachLeaf(one, visit);
  else if ("all" in match) for (const one of match.all) forEachLeaf(one, visit);
  else if ("not" in match) forEachLeaf(match.not, visit);
  else visit(match);
}
