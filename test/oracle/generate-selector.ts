import { pick, type Random } from "../../src/base/random.ts";
import { between, oneIn, some, times } from "./chance.ts";
import type { LabelExpression, LabelSelector } from "./objects.ts";

type Keys = Readonly<Record<string, readonly string[]>>;

/** All operators, also of keys and values that nothing has; often empty. */
export function generateSelector(random: Random, keys: Keys): LabelSelector {
  const kind = random.below(10);
  if (kind < 3) return {};
  const key = pick(random, Object.keys(keys));
  if (kind < 7) return { matchLabels: { [key]: generateValue(random, keys, key) } };
  const matchExpressions = times(between(random, 1, 2), () => generateExpression(random, keys));
  return kind < 9
    ? { matchExpressions }
    : { matchLabels: { [key]: generateValue(random, keys, key) }, matchExpressions };
}

function generateExpression(random: Random, keys: Keys): LabelExpression {
  const key = oneIn(random, 10) ? "unknown" : pick(random, Object.keys(keys));
  const operator = pick(random, ["In", "NotIn", "Exists", "DoesNotExist"] as const);
  if (operator === "Exists" || operator === "DoesNotExist") return { key, operator };
  return { key, operator, values: some(random, [...(keys[key] ?? []), "nobody"]) };
}

const generateValue = (random: Random, keys: Keys, key: string): string =>
  oneIn(random, 12) ? "nobody" : pick(random, keys[key] ?? ["nobody"]);
