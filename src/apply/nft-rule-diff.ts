import type { NftOperation } from "../kernel/nft.ts";
import type { NftFamily, NftRule } from "../objects/nft.ts";
import type { NftExpression } from "../objects/nft-expression.ts";

/** A rule as it stands in the kernel. */
export interface HeldRule {
  /** Content key: equal exactly when rules do the same and bear the same comment. */
  readonly key: string;
  /** Unknown until the chain is read again: the kernel does not tell it to whom it obeys. */
  readonly handle?: number;
  readonly sets: readonly string[];
}

/**
 * A key for what a rule does. Kept in the rule's user data it finds the rule again after a restart, and compared with the
 * key of what the kernel reports it shows that somebody edited the rule.
 */
export function ruleKey({ expressions, comment = "" }: Pick<NftRule, "expressions" | "comment">): string {
  const text = JSON.stringify([expressions.map(canonical), comment]);
  return Bun.hash(text).toString(16).padStart(16, "0");
}

/** Without what the kernel counts, and with the fields in one order: the decoder meets them in another than the renderer. */
function canonical(expression: NftExpression): unknown {
  return Object.entries(expression)
    .filter(([name, value]) => value !== undefined && !(expression.type === "counter" && name !== "type"))
    .map(([name, value]) =>
      name === "expressions" ? [name, (value as NftExpression[]).map(canonical)] : [name, value],
    )
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

/** A rule read back. One without our key, or no longer doing what its key says, gets a key that no wanted rule has. */
export function heldRule(rule: NftRule): HeldRule {
  const intact = rule.key !== undefined && rule.key === ruleKey(rule);
  const key = intact ? rule.key : `foreign ${rule.handle}`;
  return { key, sets: setsOf(rule), ...(rule.handle === undefined ? {} : { handle: rule.handle }) };
}

/** The sets and maps that the rule refers to. */
export const setsOf = (rule: NftRule): string[] =>
  rule.expressions.flatMap((expression) => ("set" in expression ? [expression.set] : []));

export type KeyedRule = NftRule & { readonly key: string };

export interface RuleChanges {
  readonly remove: readonly NftOperation[];
  readonly add: readonly NftOperation[];
}

/**
 * The fewest changes that turn a chain's rules into the wanted ones, order included. Removals come before additions, in one
 * transaction. Every held rule has its handle.
 */
export function diffRules(
  chain: { readonly family: NftFamily; readonly table: string; readonly chain: string },
  held: readonly HeldRule[],
  wanted: readonly KeyedRule[],
): RuleChanges {
  const stays = staying(held, wanted);
  const heldStays = new Set(stays.values());
  const remove = held.flatMap(({ handle }, at): NftOperation[] =>
    heldStays.has(at) || handle === undefined ? [] : [{ op: "rule.delete", ...chain, handle }],
  );
  // A new rule goes in front of the next one that stays, so that a run of them keeps its order; else to the end.
  const add: NftOperation[] = [];
  let before: number | undefined;
  for (let at = wanted.length - 1; at >= 0; at--) {
    const rule = wanted[at];
    const kept = stays.get(at);
    if (kept !== undefined) before = held[kept]?.handle;
    else if (rule !== undefined) {
      add.push({ op: "rule.add", rule, ...(before === undefined ? {} : { place: { at: "before", handle: before } }) });
    }
  }
  return { remove, add: add.reverse() };
}

/** Wanted position → held position of the rules that may stay where they are: the most whose order is the same in both. */
function staying(held: readonly HeldRule[], wanted: readonly KeyedRule[]): Map<number, number> {
  const positions = new Map<string, number[]>();
  for (const [at, { key }] of held.entries()) positions.set(key, [...(positions.get(key) ?? []), at]);
  const pairs = wanted.flatMap(({ key }, at): [number, number][] => {
    const found = positions.get(key)?.shift();
    return found === undefined ? [] : [[at, found]];
  });
  // Longest increasing subsequence of the held positions (patience sorting): tails[n] ends the best one of length n + 1.
  const tails: number[] = [];
  const previous = new Map<number, number>();
  for (const [index, [, heldAt]] of pairs.entries()) {
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[tails[middle] ?? 0]?.[1] ?? 0) < heldAt) low = middle + 1;
      else high = middle;
    }
    const behind = tails[low - 1];
    if (behind !== undefined) previous.set(index, behind);
    tails[low] = index;
  }
  const result = new Map<number, number>();
  for (let index = tails.at(-1); index !== undefined; index = previous.get(index)) {
    const pair = pairs[index];
    if (pair !== undefined) result.set(pair[0], pair[1]);
  }
  return result;
}
