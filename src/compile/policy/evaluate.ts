import { type Address, familyOf } from "../../base/address.ts";
import {
  type Direction,
  type EndpointName,
  type Policy,
  type PolicyModel,
  type PolicyRule,
  portProtocols,
  protocols,
  type RuleAction,
  type Tier,
  type TrafficMatch,
} from "../../model/policy.ts";
import type { Decision, DecisionReason } from "../../model/policy-state.ts";
import { type Claim, type EndpointClaim, endpointMatches, leafHolds } from "./claim.ts";
import { type Attached, claimsOf, type NamedClaim } from "./claims.ts";
import { type Exempt, type Flow, isNeighbourDiscovery } from "./flow.ts";
import { brokenBecause, inTiers, sidesOf } from "./program.ts";
import { both, maybe, no, not, type Truth, truthOf, truthOfPeer, yes } from "./truth.ts";

/** The verdict on a flow, by reading the policies one after the other, with an account of all that was looked at. */
export interface Evaluation {
  readonly verdict: "allow" | "deny";
  /** Why policy was not asked at all. */
  readonly exempt?: Exempt;
  /** One for each endpoint that claims the source's address: usually one. Empty: it is no endpoint. */
  readonly egress: readonly Judgement[];
  readonly ingress: readonly Judgement[];
}

/** What one endpoint's policies say in one direction. */
export interface Judgement {
  readonly endpoint: EndpointName;
  readonly decision: Decision;
  /** Those that were asked, in order. Empty: no policy selects the endpoint in this direction. */
  readonly tiers: readonly TierAccount[];
}

export interface TierAccount {
  readonly tier: Tier;
  readonly outcome: "decided" | "default-deny" | "passed" | "default-pass";
  readonly policies: readonly PolicyAccount[];
}

/** A policy that selects the endpoint. */
export interface PolicyAccount {
  readonly policy: Policy;
  /** Whether it was asked, or one before it had decided. */
  readonly asked: boolean;
  readonly broken?: string;
  /** Its rules up to the one that decided. */
  readonly rules: readonly RuleAccount[];
}

export interface RuleAccount {
  /** From 0. */
  readonly rule: number;
  readonly action: RuleAction;
  readonly matched: Truth;
  /** What did not match, or is not certain to. One: it came close. */
  readonly missed: readonly RuleCondition[];
}

/** Of a rule: the parts that must match, all of them. */
export type RuleCondition = "family" | "peer" | "own-side" | "traffic" | "not-traffic" | "source-port";

export interface EvaluateOptions {
  /** Endpoints whose addresses are certain, for they are joined to `node`. */
  readonly attached?: Attached;
  readonly node?: string;
  readonly unknownEndpoints?: "deny" | "allow";
}

export function evaluate(model: PolicyModel, flow: Flow, options: EvaluateOptions = {}): Evaluation {
  return new Evaluator(model, options).evaluate(flow);
}

/** For many flows of a model that does not change meanwhile. */
export class Evaluator {
  readonly #model: PolicyModel;
  readonly #options: EvaluateOptions;
  readonly #claims: ReadonlyMap<Address, readonly NamedClaim[]>;

  constructor(model: PolicyModel, options: EvaluateOptions = {}) {
    this.#model = model;
    this.#options = options;
    this.#claims = claimsOf(model, options.attached ?? new Map(), options.node ?? "");
  }

  evaluate(flow: Flow): Evaluation {
    const [from, to] = [this.#claims.get(flow.source) ?? [], this.#claims.get(flow.destination) ?? []];
    const exempt = this.#exempt(flow, from, to);
    if (exempt !== undefined) return { verdict: "allow", exempt, egress: [], ingress: [] };
    const egress = this.#judge("egress", flow, from, to);
    const ingress = this.#judge("ingress", flow, to, from);
    const denied = [...egress, ...ingress].some(({ decision }) => decision.verdict === "deny");
    return { verdict: denied ? "deny" : "allow", egress, ingress };
  }

  /** A node's own traffic to its endpoints is known by its hook; here, by the node's having the address for itself alone. */
  #exempt(flow: Flow, from: readonly NamedClaim[], to: readonly NamedClaim[]): Exempt | undefined {
    if (flow.source === flow.destination) return "itself";
    if (isNeighbourDiscovery(flow)) return "neighbour-discovery";
    const [sender] = from;
    if (from.length !== 1 || sender === undefined || !("own" in sender.claim)) return undefined;
    const node = sender.claim.node?.name;
    const own = to.length > 0 && to.every(({ endpoint }) => endpoint !== undefined && this.#nodeOf(endpoint) === node);
    return own ? "own-node" : undefined;
  }

  #nodeOf(endpoint: EndpointName): string | undefined {
    return this.#options.attached?.has(endpoint) === true
      ? this.#options.node
      : this.#model.endpoints.get(endpoint)?.node;
  }

  #judge(direction: Direction, flow: Flow, own: readonly NamedClaim[], peers: readonly NamedClaim[]): Judgement[] {
    const peerAddress = direction === "egress" ? flow.destination : flow.source;
    const ownAddress = direction === "egress" ? flow.source : flow.destination;
    return own.flatMap(({ endpoint, claim }) => {
      if (endpoint === undefined || "own" in claim) return [];
      const node = this.#nodeOf(endpoint);
      const others = peers.length === 0 ? [undefined] : peers.map((peer) => peer.claim);
      const judgements = others.map((peer) => {
        const onOwnNode = peer !== undefined && "own" in peer && node !== undefined && peer.node?.name === node;
        const sides = { direction, flow, own: claim, ownAddress, peer, peerAddress, onOwnNode };
        return { endpoint, ...this.#judgeOne(sides) };
      });
      return judgements.find(({ decision }) => decision.verdict === "deny") ?? judgements[0] ?? [];
    });
  }

  #judgeOne(sides: Sides): Omit<Judgement, "endpoint"> {
    const { direction, own } = sides;
    if (own.known === undefined) {
      const verdict = this.#options.unknownEndpoints ?? "deny";
      const reason: DecisionReason = verdict === "deny" ? { by: "unknown-endpoint" } : { by: "no-policy" };
      return { decision: { direction, verdict, log: false, reason }, tiers: [] };
    }
    const selecting = [...this.#model.policies.values()].filter(
      (policy) => policy[direction] !== undefined && endpointMatches(policy.subject, own) === yes,
    );
    const tiers: TierAccount[] = [];
    let log = false;
    for (const { tier, policies } of inTiers(selecting, this.#model.tiers)) {
      const judged = this.#askTier(sides, tier, policies);
      log ||= judged.log;
      tiers.push({ tier, outcome: judged.outcome, policies: judged.accounts });
      if (judged.decided !== undefined) {
        return { decision: { direction, verdict: judged.decided.verdict, log, reason: judged.decided.reason }, tiers };
      }
    }
    return { decision: { direction, verdict: "allow", log, reason: { by: "no-policy" } }, tiers };
  }

  #askTier(sides: Sides, tier: Tier, policies: readonly Policy[]): TierJudgement {
    const accounts: PolicyAccount[] = [];
    let log = false;
    let ended: Pick<TierJudgement, "outcome" | "decided"> | undefined;
    for (const policy of policies) {
      if (ended !== undefined) {
        accounts.push({ policy, asked: false, rules: [] });
        continue;
      }
      const broken = brokenBecause(policy, this.#model.tiers);
      if (broken !== undefined) {
        accounts.push({ policy, asked: true, broken, rules: [] });
        ended = decided("deny", { by: "broken", policy: policy.id });
        continue;
      }
      if (policy.allowsOwnNode && sides.direction === "egress" && sides.onOwnNode) {
        accounts.push({ policy, asked: true, rules: [] });
        ended = decided("allow", { by: "own-node", policy: policy.id });
        continue;
      }
      const rules: RuleAccount[] = [];
      for (const [index, rule] of (policy[sides.direction] ?? []).entries()) {
        const account = askRule(sides, rule, index);
        rules.push(account);
        if (account.matched !== no && rule.action === "log") log = true;
        ended = outcomeOf(account, { by: "rule", policy: policy.id, rule: index });
        if (ended !== undefined) break;
      }
      accounts.push({ policy, asked: true, rules });
    }
    if (ended !== undefined) return { accounts, log, ...ended };
    if (tier.defaultAction === "pass") return { accounts, log, outcome: "default-pass" };
    const reason: DecisionReason = { by: "tier", tier: tier.name, isolatedBy: policies.map(({ id }) => id) };
    return { accounts, log, outcome: "default-deny", decided: { verdict: "deny", reason } };
  }
}

interface Sides {
  readonly direction: Direction;
  readonly flow: Flow;
  readonly own: EndpointClaim;
  readonly ownAddress: Address;
  readonly peer: Claim | undefined;
  readonly peerAddress: Address;
  readonly onOwnNode: boolean;
}

interface TierJudgement {
  readonly accounts: readonly PolicyAccount[];
  readonly log: boolean;
  readonly outcome: TierAccount["outcome"];
  readonly decided?: Pick<Decision, "verdict" | "reason">;
}

const decided = (verdict: Decision["verdict"], reason: DecisionReason) =>
  ({ outcome: "decided", decided: { verdict, reason } }) as const;

function outcomeOf(
  { action, matched }: RuleAccount,
  reason: DecisionReason,
): Pick<TierJudgement, "outcome" | "decided"> | undefined {
  if (matched === no || action === "log") return undefined;
  if (action === "deny") return decided("deny", reason);
  if (matched === yes) return action === "pass" ? { outcome: "passed" } : decided("allow", reason);
  return action === "pass" ? decided("deny", reason) : undefined;
}

function askRule(sides: Sides, rule: PolicyRule, index: number): RuleAccount {
  const { direction, flow, own, ownAddress, peer, peerAddress } = sides;
  const [peerMatch, ownMatch] = sidesOf(rule, direction);
  const receiver = direction === "ingress" ? own : peer;
  const conditions: readonly (readonly [RuleCondition, Truth])[] = [
    ["family", truthOf(rule.family === undefined || rule.family === familyOf(flow.destination))],
    ["peer", peerMatch === undefined ? yes : truthOfPeer(peerMatch, (leaf) => leafHolds(leaf, peer, peerAddress))],
    ["own-side", ownMatch === undefined ? yes : truthOfPeer(ownMatch, (leaf) => leafHolds(leaf, own, ownAddress))],
    ["traffic", rule.traffic === undefined ? yes : anyTraffic(rule.traffic, flow, receiver)],
    ["not-traffic", rule.notTraffic === undefined ? yes : noTraffic(rule.notTraffic, flow, receiver)],
    ["source-port", rule.sourcePorts === undefined ? yes : maybe],
  ];
  return {
    rule: index,
    action: rule.action,
    matched: conditions.reduce<Truth>((found, [, truth]) => both(found, truth), yes),
    missed: conditions.filter(([, truth]) => truth !== yes).map(([condition]) => condition),
  };
}

/** A match that no packet can be told by makes its whole list uncertain. */
function anyTraffic(matches: readonly TrafficMatch[], flow: Flow, receiver: Claim | undefined): Truth {
  const found = matches.map((match) => oneTraffic(match, flow, receiver));
  if (found.includes("unsupported")) return maybe;
  return found.reduce<Truth>((best, one) => (one === "unsupported" || one < best ? best : one), no);
}

function noTraffic(matches: readonly TrafficMatch[], flow: Flow, receiver: Claim | undefined): Truth {
  return not(anyTraffic(matches, flow, receiver));
}

function oneTraffic(match: TrafficMatch, { protocol, port }: Flow, receiver: Claim | undefined): Truth | "unsupported" {
  if (
    match.protocol !== undefined &&
    !(Number.isInteger(match.protocol) && match.protocol > 0 && match.protocol < 256)
  ) {
    return "unsupported";
  }
  if ("portName" in match) {
    if (match.protocol !== undefined && match.protocol !== protocol) return no;
    if (receiver === undefined || "own" in receiver) return no;
    if (receiver.known === undefined) return maybe;
    return truthOf(
      receiver.known.ports.some(
        (named) => named.name === match.portName && named.protocol === protocol && named.port === port,
      ),
    );
  }
  if ("icmpType" in match) {
    const { icmpType, icmpCode } = match;
    const valid = [icmpType, icmpCode ?? 0].every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
    if (!valid || (match.protocol !== protocols.icmp && match.protocol !== protocols.icmpv6)) return "unsupported";
    return truthOf(
      match.protocol === protocol && port >> 8 === icmpType && (icmpCode === undefined || (port & 0xff) === icmpCode),
    );
  }
  if ("ports" in match) {
    const { first, last } = match.ports;
    const valid = Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first <= last && last <= 65535;
    if (!valid || !portProtocols.includes(match.protocol)) return "unsupported";
    return truthOf(match.protocol === protocol && first <= port && port <= last);
  }
  return truthOf(match.protocol === protocol);
}
