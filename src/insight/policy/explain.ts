import { type Address, familyOf } from "../../base/address.ts";
import type { Claim } from "../../compile/policy/claim.ts";
import { endpointClaim } from "../../compile/policy/claims.ts";
import { type Evaluation, Evaluator, type Judgement, type PolicyAccount } from "../../compile/policy/evaluate.ts";
import type { Exempt, Flow } from "../../compile/policy/flow.ts";
import { sidesOf } from "../../compile/policy/program.ts";
import { type Direction, type Policy, type PolicyModel, type PolicyRule, policyName } from "../../model/policy.ts";
import type { Decision } from "../../model/policy-state.ts";
import { whyNotPeer, whyNotTraffic } from "./describe-match.ts";
import type { End } from "./end.ts";
import { describePoint } from "./traffic.ts";

/** Why a flow passes or does not, whole. Plain values: it is also what `-o json` prints. */
export interface Explanation {
  readonly from: ExplainedEnd;
  readonly to: ExplainedEnd;
  readonly flow: Flow;
  /** "TCP 5432". */
  readonly traffic: string;
  readonly verdict: "allow" | "deny";
  /** Why no policy is asked. */
  readonly exempt?: Exempt;
  /** Of ends that are pods: out of the one, then into the other. */
  readonly directions: readonly ExplainedDirection[];
}

export interface ExplainedEnd {
  readonly kind: End["kind"];
  readonly name: string;
  readonly address: Address;
  /** Where it runs. */
  readonly node?: string;
}

export interface ExplainedDirection {
  readonly direction: Direction;
  /** "shop/web-0". */
  readonly endpoint: string;
  readonly decision: Decision;
  /** What decided, where it was one policy. */
  readonly by?: PolicyPlace;
  /** All that select the pod in this direction, in the order in which they are asked. Empty: nothing isolates it. */
  readonly policies: readonly PolicyPlace[];
  /** Rules that would have decided otherwise and did not match, the closest first. */
  readonly close: readonly CloseRule[];
}

/** Where something is written. */
export interface PolicyPlace {
  /** "NetworkPolicy shop/web". */
  readonly policy: string;
  readonly tier: string;
  /** From 1. */
  readonly rule?: number;
  readonly ruleName?: string;
  readonly file?: string;
  readonly line?: number;
  readonly broken?: string;
}

export interface CloseRule extends PolicyPlace {
  readonly action: PolicyRule["action"];
  /** One for each part that did not match: "its label app is db, not web". */
  readonly why: readonly string[];
}

const mostClose = 5;

/** @param source, destination addresses of the two ends. */
export function explain(model: PolicyModel, [from, to]: readonly [End, End], flow: Flow): Explanation {
  const evaluation = new Evaluator(model).evaluate(flow);
  return {
    from: explainedEnd(from, flow.source),
    to: explainedEnd(to, flow.destination),
    flow,
    traffic: describePoint(flow.protocol, flow.port),
    verdict: evaluation.verdict,
    ...(evaluation.exempt === undefined ? {} : { exempt: evaluation.exempt }),
    directions: explainedDirections(model, evaluation, flow),
  };
}

const explainedEnd = (end: End, address: Address): ExplainedEnd => ({
  kind: end.kind,
  name: end.name,
  address,
  ...(end.kind === "pod" && end.pod.node !== undefined ? { node: end.pod.node } : {}),
});

function explainedDirections(
  model: PolicyModel,
  { egress, ingress }: Evaluation,
  flow: Flow,
): readonly ExplainedDirection[] {
  return [...egress, ...ingress].map((judgement) => {
    const { endpoint, decision, tiers } = judgement;
    const { direction } = decision;
    const accounts = tiers.flatMap(({ policies }) => policies);
    const by = deciding(decision, accounts);
    return {
      direction,
      endpoint,
      decision,
      ...(by === undefined ? {} : { by }),
      policies: accounts.map(({ policy, broken }) => ({
        ...placeOf(policy),
        ...(broken === undefined ? {} : { broken }),
      })),
      close: closeRules(model, judgement, flow),
    };
  });
}

function deciding({ direction, reason }: Decision, accounts: readonly PolicyAccount[]): PolicyPlace | undefined {
  if (!("policy" in reason)) return undefined;
  const account = accounts.find(({ policy }) => policyName(policy.id) === policyName(reason.policy));
  if (account === undefined) return undefined;
  const place = reason.by === "rule" ? rulePlace(account.policy, direction, reason.rule) : placeOf(account.policy);
  return account.broken === undefined ? place : { ...place, broken: account.broken };
}

export const placeOf = ({ id, tier, source }: Policy): PolicyPlace => ({ policy: policyName(id), tier, ...source });

/** @param index from 0. */
export function rulePlace(policy: Policy, direction: Direction, index: number): PolicyPlace {
  const rule = policy[direction]?.[index];
  return {
    ...placeOf(policy),
    rule: index + 1,
    ...(rule?.name === undefined ? {} : { ruleName: rule.name }),
    ...(rule?.line === undefined ? {} : { line: rule.line }),
  };
}

/** Those that would have turned the verdict, by how little they missed; a wrong port is closer than a wrong peer. */
function closeRules(model: PolicyModel, { decision, tiers, endpoint }: Judgement, flow: Flow): readonly CloseRule[] {
  const { direction, verdict } = decision;
  const turning: readonly PolicyRule["action"][] = verdict === "deny" ? ["allow", "pass"] : ["deny"];
  const missed = tiers.flatMap(({ policies }) =>
    policies.flatMap(({ policy, rules }) =>
      rules.flatMap((account) => {
        const rule = policy[direction]?.[account.rule];
        if (rule === undefined || account.missed.length === 0 || !turning.includes(account.action)) return [];
        const weight = account.missed.length * 2 + (account.missed.includes("peer") ? 1 : 0);
        return [{ policy, rule, account, weight }];
      }),
    ),
  );
  return missed
    .sort((a, b) => a.weight - b.weight)
    .slice(0, mostClose)
    .map(({ policy, rule, account }) => ({
      ...rulePlace(policy, direction, account.rule),
      action: account.action,
      why: account.missed.map((condition) => whyMissed(model, condition, rule, direction, endpoint, flow)),
    }));
}

function whyMissed(
  model: PolicyModel,
  condition: string,
  rule: PolicyRule,
  direction: Direction,
  endpoint: string,
  { source, destination }: Flow,
): string {
  const [peer, own] = sidesOf(rule, direction);
  const [peerAddress, ownAddress] = direction === "ingress" ? [source, destination] : [destination, source];
  const receiver = direction === "ingress" ? model.endpoints.get(endpoint) : endpointAt(model, destination)?.[1];
  switch (condition) {
    case "peer":
      return peer === undefined
        ? ""
        : `${direction === "ingress" ? "sender" : "receiver"}: ${whyNotPeer(peer, claimAt(model, peerAddress), peerAddress)}`;
    case "own-side":
      return own === undefined ? "" : `${endpoint} itself: ${whyNotPeer(own, claimAt(model, ownAddress), ownAddress)}`;
    case "traffic":
      return whyNotTraffic(rule.traffic ?? [], receiver?.ports);
    case "not-traffic":
      return "the rule leaves this traffic out";
    case "family":
      return `the rule is for IPv${rule.family}, this is IPv${familyOf(destination)}`;
    default:
      return "the rule asks for the sender's port, which is not looked at";
  }
}

function endpointAt(model: PolicyModel, address: Address) {
  for (const entry of model.endpoints) if (entry[1].addresses.includes(address)) return entry;
  return undefined;
}

function claimAt(model: PolicyModel, address: Address): Claim | undefined {
  const found = endpointAt(model, address);
  if (found !== undefined) return endpointClaim(model, found[0], found[1]);
  for (const node of model.nodes.values()) if (node.addresses.includes(address)) return { node, own: false };
  return undefined;
}
