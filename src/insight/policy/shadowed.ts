import { decideOne, type Facts, type Point, stepMatches } from "../../compile/policy/decide.ts";
import type { Program } from "../../compile/policy/program.ts";
import { no } from "../../compile/policy/truth.ts";
import { type Direction, type Policy, type PolicyModel, policyName } from "../../model/policy.ts";
import type { DecisionReason } from "../../model/policy-state.ts";
import { rulePlace } from "./explain.ts";
import type { LintFinding } from "./lint.ts";
import { Reachability } from "./reach.ts";
import { universeOf } from "./universe.ts";

interface Use {
  matches: boolean;
  decides: boolean;
  /** Those that decided where it would have matched: "NetworkPolicy shop/all rule 1". */
  readonly instead: Map<string, DecisionReason>;
}

/**
 * Rules that match somebody, and never decide: whatever they match, others have decided already. In this cluster as it is:
 * another pod may change that.
 */
export function shadowedRules(model: PolicyModel): readonly LintFinding[] {
  const universe = universeOf([model]);
  const reachability = new Reachability(universe, model);
  const uses = new Map<string, Use>();
  const seen = new Set<string>();
  for (const kind of universe.kinds) {
    if (kind.who.of !== "workloads") continue;
    for (const direction of ["ingress", "egress"] as const) {
      const judged = reachability.program(kind, direction);
      if (judged === undefined || seen.has(`${kind.family} ${judged.key}`)) continue;
      seen.add(`${kind.family} ${judged.key}`);
      for (const { facts, point } of reachability.situations(judged, kind.family)) note(uses, judged, facts, point);
    }
  }
  return [...model.policies.values()].flatMap((policy) =>
    (["ingress", "egress"] as const).flatMap((direction) =>
      (policy[direction] ?? []).flatMap((_, rule) => {
        const use = uses.get(useKey(direction, { by: "rule", policy: policy.id, rule }));
        return use === undefined || !use.matches || use.decides ? [] : [finding(model, policy, direction, rule, use)];
      }),
    ),
  );
}

function note(uses: Map<string, Use>, program: Program, facts: Facts, point: Point): void {
  const { reason } = decideOne(program, facts, point);
  for (const step of program.steps) {
    if (step.reason.by !== "rule" || step.action === "log") continue;
    const key = useKey(program.direction, step.reason);
    const use = uses.get(key) ?? { matches: false, decides: false, instead: new Map() };
    uses.set(key, use);
    if (use.decides || stepMatches(step, facts, point) === no) continue;
    use.matches = true;
    // A pass decides that others decide.
    if (step.reason === reason || step.action === "pass") use.decides = true;
    else use.instead.set(useKey(program.direction, reason), reason);
  }
}

const useKey = (direction: Direction, reason: DecisionReason): string => `${direction} ${JSON.stringify(reason)}`;

function finding(
  model: PolicyModel,
  policy: Policy,
  direction: Direction,
  rule: number,
  { instead }: Use,
): LintFinding {
  const others = [...instead.values()].flatMap((reason) => (reason.by === "rule" ? [reason] : []));
  const [other] = others;
  const action = policy[direction]?.[rule]?.action;
  const first = other && model.policies.get(policyName(other.policy));
  const alike = others.every(
    (one) => model.policies.get(policyName(one.policy))?.[direction]?.[one.rule]?.action === action,
  );
  const place = rulePlace(policy, direction, rule);
  const names = others.slice(0, 3).map((one) => `${policyName(one.policy)} rule ${one.rule + 1}`);
  const who =
    names.length === 0 ? "others" : names.join(", ") + (others.length > 3 ? ` and ${others.length - 3} more` : "");
  const open = first?.[direction]?.[other?.rule ?? -1];
  if (
    alike &&
    others.length > 0 &&
    open?.source === undefined &&
    open?.destination === undefined &&
    open?.traffic === undefined
  ) {
    return {
      severity: "warning",
      check: "allows-all",
      place,
      direction,
      message: `it restricts nothing: ${who} ${action === "allow" ? "lets everybody pass" : "decides everything"}`,
      remedy: `delete the rule that ${action === "allow" ? "allows all" : "decides all"}, or this one`,
    };
  }
  return {
    severity: alike ? "note" : "warning",
    check: "shadowed",
    place,
    direction,
    message: alike ? `all that it says, ${who} says already` : `it never counts: ${who} decides before`,
    remedy: alike ? "it can be left away" : "put it before, by a lower priority or a higher place in the policy",
  };
}
