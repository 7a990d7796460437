import { type Address, familyOf } from "../../base/address.ts";
import { contains } from "../../base/prefix.ts";
import {
  comparePolicies,
  compareTiers,
  type Direction,
  type EndpointMatch,
  type PeerMatch,
  type PolicyModel,
  type PolicyNode,
  type PolicyRule,
  type Selector,
  type TrafficMatch,
  type WorkloadEndpoint,
} from "../../model/policy.ts";

/** One flow at a time, policy by policy, as docs/design/policy.md says it: slow, and shares nothing with what it checks. */
export interface End {
  readonly address: Address;
  readonly pod?: WorkloadEndpoint;
  readonly node?: PolicyNode;
}

export function naiveAllows(
  model: PolicyModel,
  source: End,
  destination: End,
  protocol: number,
  port: number,
): boolean {
  if (familyOf(source.address) !== familyOf(destination.address)) return false;
  if (source.pod !== undefined && source.pod === destination.pod) return true;
  if (protocol === 58 && port >> 8 >= 133 && port >> 8 <= 137) return true;
  const flow = { protocol, port };
  return judge(model, source, destination, "egress", flow) && judge(model, destination, source, "ingress", flow);
}

type Traffic = { readonly protocol: number; readonly port: number };
/** undefined: nobody knows. */
type Known = boolean | undefined;

function judge(model: PolicyModel, subject: End, peer: End, direction: Direction, flow: Traffic): boolean {
  const { pod } = subject;
  if (pod === undefined) return true;
  const own = peer.node !== undefined && peer.node.name === pod.node;
  if (own && direction === "ingress") return true;
  if (pod.unknown === true) return false;
  tiers: for (const tier of [...model.tiers.values()].sort(compareTiers)) {
    const policies = [...model.policies.values()]
      .filter(
        (policy) =>
          policy.tier === tier.name && policy[direction] !== undefined && endpoint(policy.subject, pod, model),
      )
      .sort(comparePolicies);
    if (policies.length === 0) continue;
    for (const policy of policies) {
      if (policy.broken !== undefined) return false;
      if (policy.allowsOwnNode && own) return true;
      for (const rule of policy[direction] ?? []) {
        const matches = ruleMatches(rule, direction, subject, peer, flow, model);
        if (matches === false || rule.action === "log") continue;
        if (rule.action === "deny" || (rule.action === "pass" && matches === undefined)) return false;
        if (rule.action === "pass") continue tiers;
        if (matches === true) return true;
      }
    }
    if (tier.defaultAction === "deny") return false;
  }
  return true;
}

function ruleMatches(
  rule: PolicyRule,
  direction: Direction,
  subject: End,
  peer: End,
  flow: Traffic,
  model: PolicyModel,
): Known {
  const [source, destination] = direction === "ingress" ? [peer, subject] : [subject, peer];
  if (rule.family !== undefined && rule.family !== familyOf(subject.address)) return false;
  return and([
    rule.source === undefined ? true : peerMatches(rule.source, source, model),
    rule.destination === undefined ? true : peerMatches(rule.destination, destination, model),
    rule.traffic === undefined ? true : or(rule.traffic.map((match) => traffic(match, destination, flow))),
    rule.notTraffic === undefined ? true : not(or(rule.notTraffic.map((match) => traffic(match, destination, flow)))),
  ]);
}

const and = (parts: readonly Known[]): Known =>
  parts.includes(false) ? false : parts.includes(undefined) ? undefined : true;
const or = (parts: readonly Known[]): Known =>
  parts.includes(true) ? true : parts.includes(undefined) ? undefined : false;
const not = (part: Known): Known => (part === undefined ? undefined : !part);

function traffic(match: TrafficMatch, destination: End, { protocol, port }: Traffic): Known {
  if (match.protocol !== undefined && match.protocol !== protocol) return false;
  if ("portName" in match) {
    if (destination.pod?.unknown === true) return undefined;
    return (destination.pod?.ports ?? []).some(
      (one) => one.name === match.portName && one.protocol === protocol && one.port === port,
    );
  }
  if ("icmpType" in match)
    return port >> 8 === match.icmpType && (match.icmpCode === undefined || (port & 255) === match.icmpCode);
  return !("ports" in match) || (match.ports.first <= port && port <= match.ports.last);
}

function peerMatches(match: PeerMatch, end: End, model: PolicyModel): Known {
  if ("any" in match) return or(match.any.map((one) => peerMatches(one, end, model)));
  if ("all" in match) return and(match.all.map((one) => peerMatches(one, end, model)));
  if ("not" in match) return not(peerMatches(match.not, end, model));
  if ("nodes" in match) return end.node !== undefined && selects(match.nodes, end.node.labels);
  if ("networks" in match)
    return (
      match.networks.some((one) => contains(one, end.address)) &&
      !match.except.some((one) => contains(one, end.address))
    );
  if (end.pod?.unknown === true) return undefined;
  return end.pod !== undefined && endpoint(match.endpoints, end.pod, model);
}

const endpoint = (
  { namespace, namespaces, labels }: EndpointMatch,
  pod: WorkloadEndpoint,
  model: PolicyModel,
): boolean =>
  (namespace ?? pod.namespace) === pod.namespace &&
  selects(namespaces, model.namespaces.get(pod.namespace)?.labels ?? {}) &&
  selects(labels, pod.labels);

function selects(selector: Selector | undefined, labels: Readonly<Record<string, string>>): boolean {
  if (selector === undefined || selector.op === "all") return true;
  if (selector.op === "not") return !selects(selector.of, labels);
  if (selector.op === "and") return selector.of.every((one) => selects(one, labels));
  if (selector.op === "or") return selector.of.some((one) => selects(one, labels));
  if (!("key" in selector)) throw new Error("not among the random ones");
  const value = labels[selector.key];
  if (selector.op === "has") return value !== undefined;
  if (selector.op === "in") return value !== undefined && selector.values.includes(value);
  if (selector.op === "not-in") return value === undefined || !selector.values.includes(value);
  throw new Error("not among the random ones");
}
