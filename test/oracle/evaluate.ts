import { askTier, type ClusterAnswer } from "./cluster-network-policy.ts";
import type { Flow, Party } from "./flow.ts";
import { isNetworkPod, podName } from "./flow.ts";
import { askNetworkPolicies, type RuleOf } from "./network-policy.ts";
import { type ClusterObjects, nameOf, type PodObject, type PolicyObject } from "./objects.ts";
import { type Direction, isOwnNode, isSame, peerPod, type Situation } from "./situation.ts";

/**
 * What Kubernetes' two policy APIs say of one connection, from the sentences of their documentation: NetworkPolicy
 * (networking.k8s.io/v1: concepts page and API reference) and ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2: API reference).
 * Slow and obvious, over the objects themselves; it shares nothing with what it judges but addresses and prefixes.
 */
export interface Judgement {
  readonly verdict: "allow" | "deny";
  /** Absent: that end is no pod, so it has no policy. */
  readonly egress?: SideJudgement;
  readonly ingress?: SideJudgement;
}

export interface SideJudgement {
  readonly verdict: "allow" | "deny";
  /** One of these decided; the specification leaves open which of several NetworkPolicies that agree. */
  readonly by: readonly Reason[];
}

export type Reason =
  | { readonly by: "rule"; readonly policy: string; readonly rule: number }
  /** Isolated by these, and none of their rules matched. */
  | { readonly by: "isolated"; readonly policies: readonly string[] }
  | { readonly by: "own-node" | "itself" | "no-policy" };

export function evaluate(cluster: ClusterObjects, flow: Flow): Judgement {
  // "For a network flow between two pods to be allowed, both the egress policy on the source pod and the ingress policy on the
  // destination pod need to allow the traffic."
  const egress = judgeSide(cluster, flow, "egress");
  const ingress = judgeSide(cluster, flow, "ingress");
  const denied = egress?.verdict === "deny" || ingress?.verdict === "deny";
  return {
    verdict: denied ? "deny" : "allow",
    ...(egress === undefined ? {} : { egress }),
    ...(ingress === undefined ? {} : { ingress }),
  };
}

function judgeSide(cluster: ClusterObjects, flow: Flow, direction: Direction): SideJudgement | undefined {
  const [own, other] = direction === "egress" ? [flow.from, flow.to] : [flow.to, flow.from];
  const pod = podOf(cluster, own);
  return pod === undefined ? undefined : judge({ cluster, flow, direction, pod, peer: other.address });
}

function judge(situation: Situation): SideJudgement {
  // "Exception: a pod cannot block access to itself."
  if (isSame(situation.pod, peerPod(situation))) return allow({ by: "itself" });
  // "Traffic from the node where a Pod is running is always allowed": ClusterNetworkPolicy has no peer that could mean a node as
  // a source, and must not break the node's probes of its pods either.
  if (situation.direction === "ingress" && isOwnNode(situation)) return allow({ by: "own-node" });
  // "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier."
  const admin = askTier("Admin", situation);
  if (admin.action !== "none") return decided(admin);
  // "v1.NetworkPolicy always makes a final decision for selected pods. Further evaluation only happens for Pods not selected."
  const answer = askNetworkPolicies(situation);
  if (answer.isolated) {
    if (answer.ownNode) return allow({ by: "own-node" });
    if (answer.by.length > 0) return { verdict: "allow", by: answer.by.map(reasonOf) };
    return { verdict: "deny", by: [{ by: "isolated", policies: answer.policies.map(nameOf) }] };
  }
  const baseline = askTier("Baseline", situation);
  if (baseline.action !== "none") return decided(baseline);
  // "If a given connection wasn't allowed or denied by any of the tiers, the default kubernetes policy is applied, which says that
  // all pods can communicate with each other."
  return allow({ by: "no-policy" });
}

const allow = (reason: Reason): SideJudgement => ({ verdict: "allow", by: [reason] });

const reasonOf = ({ policy, rule }: { policy: PolicyObject; rule: number } | RuleOf): Reason => ({
  by: "rule",
  policy: nameOf(policy),
  rule,
});

const decided = (answer: Exclude<ClusterAnswer, { action: "none" }>): SideJudgement => ({
  verdict: answer.action === "Accept" ? "allow" : "deny",
  by: [reasonOf(answer)],
});

function podOf(cluster: ClusterObjects, party: Party): PodObject | undefined {
  if (!("pod" in party)) return undefined;
  return cluster.pods.find((pod) => isNetworkPod(pod) && podName(pod) === party.pod);
}
