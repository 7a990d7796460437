import type { DecisionUse } from "../../model/decision-use.ts";
import { type Direction, type Policy, type PolicyModel, policyName } from "../../model/policy.ts";
import type { DecisionReason } from "../../model/policy-state.ts";
import { type PolicyPlace, rulePlace } from "./explain.ts";

/** How often a rule decided, over all nodes that were asked. */
export interface RuleUse {
  /** First packets of connections, and all that were denied. */
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly lastHit?: number;
}

/** Uses by what decided; several decisions of a rule (logged and not) are one. */
export class RuleUses {
  readonly #uses = new Map<string, RuleUse>();

  add(uses: Iterable<DecisionUse>): void {
    for (const { decision, packets, bytes, lastHit } of uses) {
      const key = keyOf(decision.direction, decision.reason);
      const known = this.#uses.get(key);
      const last = Math.max(lastHit ?? 0, known?.lastHit ?? 0);
      this.#uses.set(key, {
        packets: packets + (known?.packets ?? 0),
        bytes: bytes + (known?.bytes ?? 0),
        ...(last > 0 && { lastHit: last }),
      });
    }
  }

  ofRule(policy: Policy, direction: Direction, rule: number): RuleUse | undefined {
    return this.#uses.get(keyOf(direction, { by: "rule", policy: policy.id, rule }));
  }

  /** What fell through to the tier's default, whichever policies isolate. */
  ofTier(direction: Direction, tier: string): RuleUse | undefined {
    return this.#uses.get(keyOf(direction, { by: "tier", tier, isolatedBy: [] }));
  }

  /** Rules that decided nothing on any of the nodes. */
  unused(model: PolicyModel): readonly (PolicyPlace & { readonly direction: Direction })[] {
    return [...model.policies.values()].flatMap((policy) =>
      (["ingress", "egress"] as const).flatMap((direction) =>
        (policy[direction] ?? []).flatMap(({ action }, rule) => {
          // A rule that passes or logs is never what decides.
          if (action === "pass" || action === "log") return [];
          const used = (this.ofRule(policy, direction, rule)?.packets ?? 0) > 0;
          return used ? [] : [{ direction, ...rulePlace(policy, direction, rule) }];
        }),
      ),
    );
  }
}

function keyOf(direction: Direction, reason: DecisionReason): string {
  const of =
    reason.by === "rule"
      ? `${policyName(reason.policy)} ${reason.rule}`
      : reason.by === "tier"
        ? reason.tier
        : "policy" in reason
          ? policyName(reason.policy)
          : "";
  return `${direction} ${reason.by} ${of}`;
}
