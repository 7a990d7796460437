import { brokenBecause } from "../../compile/policy/program.ts";
import { matchesEndpoint } from "../../compile/policy/selector.ts";
import {
  type Direction,
  type EndpointMatch,
  type Policy,
  type PolicyModel,
  type PolicyRule,
  policyName,
  type Selector,
  type WorkloadEndpoint,
} from "../../model/policy.ts";
import { isSamePolicy } from "./affected.ts";
import { describeEndpoints, describeSelector } from "./describe-match.ts";
import { type PolicyPlace, placeOf, rulePlace } from "./explain.ts";
import { leavesOf, portNamesOf } from "./used.ts";

/** Something of the policies that is most likely not meant. */
export interface LintFinding {
  /** "note": nothing is wrong, and something could be left away. */
  readonly severity: "error" | "warning" | "note";
  readonly check: LintCheck;
  readonly place: PolicyPlace;
  readonly direction?: Direction;
  readonly message: string;
  readonly remedy: string;
}

export type LintCheck =
  | "broken"
  | "selects-nobody"
  | "matches-nobody"
  | "unknown-port-name"
  | "duplicate"
  | "tie"
  | "allows-all"
  | "shadowed"
  | "cuts-dns"
  | "doubtful";

/** What shows by the policies and who is there, without judging traffic (`shadowedRules`, `cutsDns` do). */
export function plainLint(model: PolicyModel): readonly LintFinding[] {
  const pods = new Pods(model);
  return [
    ...[...model.policies.values()].flatMap((policy) => lintPolicy(model, pods, policy)),
    ...duplicates(model),
    ...ties(model, pods),
  ];
}

/** Whom an expression selects, without asking everybody where it names a namespace. */
class Pods {
  readonly #model: PolicyModel;
  readonly #byNamespace: ReadonlyMap<string, readonly WorkloadEndpoint[]>;

  constructor(model: PolicyModel) {
    this.#model = model;
    this.#byNamespace = Map.groupBy(model.endpoints.values(), ({ namespace }) => namespace);
  }

  in(namespace: string | undefined): Iterable<WorkloadEndpoint> {
    return namespace === undefined ? this.#model.endpoints.values() : (this.#byNamespace.get(namespace) ?? []);
  }

  some(match: EndpointMatch, holds: (pod: WorkloadEndpoint) => boolean = () => true): boolean {
    for (const pod of this.in(match.namespace)) if (this.#selects(match, pod) && holds(pod)) return true;
    return false;
  }

  /** Some pod is selected by both. */
  shared(a: EndpointMatch, b: EndpointMatch): boolean {
    return this.some(a, (pod) => this.#selects(b, pod));
  }

  #selects(match: EndpointMatch, pod: WorkloadEndpoint): boolean {
    return matchesEndpoint(match, pod, this.#model.namespaces.get(pod.namespace)?.labels ?? {});
  }
}

function lintPolicy(model: PolicyModel, pods: Pods, policy: Policy): readonly LintFinding[] {
  const broken = brokenBecause(policy, model.tiers);
  const place = placeOf(policy);
  if (broken !== undefined) {
    const message = `it cannot be understood, and denies what it selects: ${broken}`;
    return [{ severity: "error", check: "broken", place, message, remedy: "correct it, or delete it" }];
  }
  const selectsNobody = !pods.some(policy.subject);
  const nobody: LintFinding = {
    severity: "warning",
    check: "selects-nobody",
    place,
    message: `it selects no pod: there are none of ${describeEndpoints(policy.subject)}`,
    remedy: hintFor(model, pods, policy.subject) ?? "correct the selector, or delete the policy",
  };
  return [
    ...(selectsNobody ? [nobody] : []),
    ...(["ingress", "egress"] as const).flatMap((direction) =>
      (policy[direction] ?? []).flatMap((rule, index) => [
        ...emptyPeers(model, pods, policy, direction, rule, index),
        ...(selectsNobody ? [] : unknownNames(pods, policy, direction, rule, index)),
      ]),
    ),
  ];
}

function emptyPeers(
  model: PolicyModel,
  pods: Pods,
  policy: Policy,
  direction: Direction,
  rule: PolicyRule,
  index: number,
): readonly LintFinding[] {
  return [rule.source, rule.destination].flatMap((peer) =>
    (peer === undefined ? [] : leavesOf(peer)).flatMap((leaf) => {
      if (!("endpoints" in leaf)) return [];
      if (pods.some(leaf.endpoints)) return [];
      return [
        {
          severity: "warning",
          check: "matches-nobody",
          place: rulePlace(policy, direction, index),
          direction,
          message: `there is nobody: ${describeEndpoints(leaf.endpoints)}`,
          remedy:
            hintFor(model, pods, leaf.endpoints) ??
            "correct the selector; if they are still to come, nothing needs to be done",
        } as const,
      ];
    }),
  );
}

/** What there is instead, where a single label's value is all that is wrong. */
function hintFor(model: PolicyModel, pods: Pods, { namespace, labels }: Policy["subject"]): string | undefined {
  if (namespace !== undefined && !model.namespaces.has(namespace)) return `there is no namespace ${namespace}`;
  if (labels === undefined) return undefined;
  for (const part of conjuncts(labels)) {
    if (part.op !== "in" && part.op !== "has") continue;
    const values = new Set([...pods.in(namespace)].flatMap((pod) => pod.labels[part.key] ?? []));
    if (part.op === "in" && part.values.some((value) => values.has(value))) continue;
    if (part.op === "has" && values.size > 0) continue;
    const known = [...values].sort().slice(0, 5).join(", ");
    return known === ""
      ? `no pod there has a label ${part.key}: was another one meant?`
      : `no pod there matches ${describeSelector(part)}; there ${part.key} is ${known}`;
  }
  return undefined;
}

const conjuncts = (selector: Selector): readonly Selector[] =>
  selector.op === "and" ? selector.of.flatMap(conjuncts) : [selector];

function unknownNames(
  pods: Pods,
  policy: Policy,
  direction: Direction,
  rule: PolicyRule,
  index: number,
): readonly LintFinding[] {
  const receivers = direction === "ingress" ? policy.subject : {};
  return portNamesOf(rule).flatMap((name) => {
    if (pods.some(receivers, ({ ports }) => ports.some((port) => port.name === name))) return [];
    const who = direction === "ingress" ? "no pod that it selects" : "no pod at all";
    return [
      {
        severity: "warning",
        check: "unknown-port-name",
        place: rulePlace(policy, direction, index),
        direction,
        message: `${who} has a port called ${name}, so the rule never matches`,
        remedy: `name the port in the pods (containers.ports.name), or write its number`,
      } as const,
    ];
  });
}

function duplicates({ policies }: PolicyModel): readonly LintFinding[] {
  const seen = new Map<string, Policy>();
  return [...policies.values()].flatMap((policy) => {
    const key = JSON.stringify([policy.tier, policy.order, policy.subject, policy.broken]);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, policy);
    if (first === undefined || !isSamePolicy({ ...first, id: policy.id }, policy)) return [];
    return [
      {
        severity: "note",
        check: "duplicate",
        place: placeOf(policy),
        message: `it says the same as ${policyName(first.id)}`,
        remedy: "delete one of the two",
      } as const,
    ];
  });
}

/** Between policies of equal priority the name decides, which nobody means. */
function ties(model: PolicyModel, pods: Pods): readonly LintFinding[] {
  const ordered = [...model.policies.values()].filter(({ id }) => id.kind !== "NetworkPolicy");
  const groups = Map.groupBy(ordered, ({ tier, order }) => `${tier} ${order}`);
  return [...groups.values()].flatMap((group) =>
    group.flatMap((policy, at) => {
      const other = group.slice(0, at).find((earlier) => mayDisagree(pods, earlier, policy));
      if (other === undefined) return [];
      return [
        {
          severity: "warning",
          check: "tie",
          place: placeOf(policy),
          message: `it has the same priority as ${policyName(other.id)}, selects some of the same pods, and decides otherwise`,
          remedy: "give them different priorities: the API leaves open which of them counts",
        } as const,
      ];
    }),
  );
}

function mayDisagree(pods: Pods, a: Policy, b: Policy): boolean {
  const actions = (["ingress", "egress"] as const).some((direction) => {
    const [of, other] = [a, b].map((policy) => new Set(policy[direction]?.map(({ action }) => action)));
    return [...(of ?? [])].some((action) =>
      [...(other ?? [])].some((one) => one !== action && one !== "log" && action !== "log"),
    );
  });
  return actions && pods.shared(a.subject, b.subject);
}
