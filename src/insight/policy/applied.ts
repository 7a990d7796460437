import { inTiers, type TierOfPolicies } from "../../compile/policy/program.ts";
import { matchesEndpoint } from "../../compile/policy/selector.ts";
import type { Direction, Policy, PolicyModel, WorkloadEndpoint } from "../../model/policy.ts";

/** Finds the policies of an endpoint without asking all of them. */
export class PolicyIndex {
  readonly #model: PolicyModel;
  readonly #anywhere: readonly Policy[];
  readonly #byNamespace: ReadonlyMap<string, readonly Policy[]>;

  constructor(model: PolicyModel) {
    this.#model = model;
    const policies = [...model.policies.values()];
    this.#anywhere = policies.filter(({ subject }) => subject.namespace === undefined);
    this.#byNamespace = Map.groupBy(policies, ({ subject }) => subject.namespace ?? "");
  }

  /** Those that select it, in no order. */
  selecting(endpoint: WorkloadEndpoint): readonly Policy[] {
    const labels = this.#model.namespaces.get(endpoint.namespace)?.labels ?? {};
    const own = this.#byNamespace.get(endpoint.namespace) ?? [];
    return [...own, ...this.#anywhere].filter((policy) => matchesEndpoint(policy.subject, endpoint, labels));
  }

  /** What judges it in one direction, in order. Tiers without a policy for it are not asked. */
  applied(endpoint: WorkloadEndpoint, direction: Direction): readonly TierOfPolicies[] {
    const deciding = this.selecting(endpoint).filter((policy) => policy[direction] !== undefined);
    return inTiers(deciding, this.#model.tiers);
  }
}
