import { leafHolds } from "../../compile/policy/claim.ts";
import { type Direction, type Policy, type PolicyModel, policyName } from "../../model/policy.ts";
import { type Bits, bitsOr, bitsWhere, emptyBits } from "./bits.ts";
import type { Predicates } from "./predicates.ts";
import type { Kind, Universe } from "./universe.ts";
import { peersOf, portNamesOf, rulesOf } from "./used.ts";

/** More kinds than these are changed: to find out which policies ask for them costs more than to look at all pods. */
const fewKinds = 200;

/**
 * Pods whose verdicts in a direction may be other after a change: those with other policies, and those whose policies ask for
 * something that changed. All others judge as before.
 */
export function affectedBy(
  { models: [before, after], kinds }: Universe,
  predicates: readonly [old: Predicates, now: Predicates],
): Readonly<Record<Direction, Bits>> {
  if (before === undefined || after === undefined) throw new RangeError("a change has two models");
  const everybody = bitsWhere(kinds.length, (index) => kinds[index]?.who.of === "workloads");
  const changed = kinds.filter((kind) => isChanged(kind, before, after));
  if (changed.length > fewKinds || !Bun.deepEquals(before.tiers, after.tiers))
    return { ingress: everybody, egress: everybody };
  const policies = changedPolicies(before, after);
  for (const [name, policy] of after.policies)
    if (!policies.has(name) && asksForChanged(policy, changed, predicates)) policies.set(name, [policy]);

  const own = bitsWhere(kinds.length, (index) =>
    changed.some((kind) => kind.index === index && kind.who.of === "workloads"),
  );
  const affected = (direction: Direction): Bits =>
    [...policies.values()]
      .flat()
      .filter((policy) => policy[direction] !== undefined)
      .flatMap(({ subject }) => predicates.map((model) => model.matched({ peer: { endpoints: subject } }).surely))
      .reduce(bitsOr, bitsOr(own, emptyBits(kinds.length)));
  return { ingress: affected("ingress"), egress: affected("egress") };
}

function isChanged({ who }: Kind, before: PolicyModel, after: PolicyModel): boolean {
  if (who.of === "outside") return false;
  const [old, now] = who.sample;
  if (old !== now && !Bun.deepEquals(old, now)) return true;
  const [first] = who.of === "workloads" ? who.sample : [];
  if (first === undefined) return false;
  const [was, is] = [before, after].map(({ namespaces }) => namespaces.get(first.namespace));
  return was !== is && !Bun.deepEquals(was, is);
}

/** By name: both versions, where there are two. Where it was read is no difference. */
function changedPolicies(before: PolicyModel, after: PolicyModel): Map<string, readonly Policy[]> {
  const found = new Map<string, readonly Policy[]>();
  for (const old of before.policies.values()) {
    const now = after.policies.get(policyName(old.id));
    if (now !== old && !isSamePolicy(old, now)) found.set(policyName(old.id), now === undefined ? [old] : [old, now]);
  }
  for (const [name, policy] of after.policies) if (!before.policies.has(name)) found.set(name, [policy]);
  return found;
}

/** Says the same, wherever it was read. */
export const isSamePolicy = (a: Policy, b: Policy | undefined): boolean =>
  b !== undefined && Bun.deepEquals(withoutPlaces(a), withoutPlaces(b));

function withoutPlaces({ source: _, ...policy }: Policy): unknown {
  const rules = (direction: Direction) => policy[direction]?.map(({ line: _, ...rule }) => rule);
  return { ...policy, ingress: rules("ingress"), egress: rules("egress") };
}

function asksForChanged(
  policy: Policy,
  changed: readonly Kind[],
  [old, now]: readonly [Predicates, Predicates],
): boolean {
  if (changed.length === 0) return false;
  if (rulesOf(policy).some((rule) => portNamesOf(rule).length > 0)) return true;
  const leaves = peersOf(policy).filter((leaf) => !("networks" in leaf));
  return changed.some((kind) => {
    const [was, is] = [old.claim(kind), now.claim(kind)];
    return leaves.some((leaf) => leafHolds(leaf, was, "nowhere") !== leafHolds(leaf, is, "nowhere"));
  });
}
