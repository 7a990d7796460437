import type { Problem } from "../../base/problem.ts";
import { type Policy, type PolicyModel, policyName } from "../../model/policy.ts";
import { portMatches } from "./port-match.ts";
import { brokenBecause } from "./program.ts";

/** What could not be done as it was meant, in all policies. `PolicyProblems` follows changes. */
export function policyProblems(model: PolicyModel): readonly Problem[] {
  return [...model.policies.values()].flatMap((policy) => problemsOf(policy, model.tiers));
}

/** What of policies could not be done as it was meant. */
export class PolicyProblems {
  readonly #model: PolicyModel;
  readonly #byPolicy = new Map<string, readonly Problem[]>();

  constructor(model: PolicyModel) {
    this.#model = model;
  }

  get all(): readonly Problem[] {
    return [...this.#byPolicy.values()].flat();
  }

  /** Looks at these policies again. */
  update(names: Iterable<string>): void {
    for (const name of names) {
      const policy = this.#model.policies.get(name);
      const found = policy === undefined ? [] : problemsOf(policy, this.#model.tiers);
      if (found.length === 0) this.#byPolicy.delete(name);
      else this.#byPolicy.set(name, found);
    }
  }
}

function problemsOf(policy: Policy, tiers: PolicyModel["tiers"]): readonly Problem[] {
  const subject = policyName(policy.id);
  const broken = brokenBecause(policy, tiers);
  if (broken !== undefined) {
    return [
      {
        severity: "error",
        subject,
        message: `${subject} cannot be understood: ${broken}; what it selects is denied in its directions`,
        remedy: "correct it, or delete it",
        reason: "PolicyBroken",
      },
    ];
  }
  return (["ingress", "egress"] as const).flatMap((direction) =>
    (policy[direction] ?? []).flatMap((rule, index) => {
      const nowhere = { of: "own", byName: () => [] } as const;
      const traffic = [...(rule.traffic ?? []), ...(rule.notTraffic ?? [])];
      const unsupported =
        rule.sourcePorts !== undefined
          ? "it asks for the sender's port, which is not supported"
          : traffic.some((match) => portMatches(match, nowhere) === undefined)
            ? "it asks for a protocol or port that does not exist"
            : undefined;
      if (unsupported === undefined) return [];
      const closed =
        rule.action === "allow"
          ? "so it allows nothing"
          : `so it ${rule.action === "log" ? "logs" : "denies"} all that it may mean`;
      return [
        {
          severity: "error",
          subject,
          message: `${direction} rule ${index + 1} of ${subject} cannot be enforced exactly: ${unsupported}, ${closed}`,
          remedy: "write the rule without it",
          reason: "RuleNotEnforceable",
        } satisfies Problem,
      ];
    }),
  );
}
