import type { Family } from "../../base/address.ts";
import {
  comparePolicies,
  compareTiers,
  type Direction,
  type NamedPort,
  type PeerMatch,
  type Policy,
  type PolicyRule,
  type RuleAction,
  type Tier,
} from "../../model/policy.ts";
import type { DecisionReason } from "../../model/policy-state.ts";
import { type EndpointClaim, leafHolds, type Place } from "./claim.ts";
import { type Fact, type FactKey, factKey, outsideTruth } from "./fact.ts";
import { peerTerms } from "./peer-terms.ts";
import { type PortMatch, type PortNames, portMatches } from "./port-match.ts";
import { maybe, no, type Truth, truthOfPeer, yes } from "./truth.ts";

/**
 * What an endpoint's policies say in one direction, with all that is known of the endpoint itself worked in: its own ports,
 * its address, its place in policies that narrow their own side. What is left are facts of the peer, and ports.
 * The first step that matches decides.
 */
export interface Program {
  readonly direction: Direction;
  readonly steps: readonly Step[];
  /** Those that the steps name. */
  readonly facts: ReadonlyMap<FactKey, Fact>;
  /** Programs with equal keys decide alike, with the same reasons. */
  readonly key: string;
}

export interface Step {
  /** Any of them; absent: anybody. */
  readonly peers?: readonly StepPeer[];
  /** Any of them; absent: all. */
  readonly traffic?: readonly StepPorts[];
  /** None of them. */
  readonly notTraffic?: readonly StepPorts[];
  /** No match of this step is certain. */
  readonly uncertain: boolean;
  readonly action: RuleAction;
  readonly reason: DecisionReason;
  /** Where "pass" goes on: the first step of the next tier. */
  readonly next: number;
}

export interface StepPeer {
  readonly fact: FactKey;
  /** Whether it holds for class 0. */
  readonly outside: Truth;
  /** Not where this fact holds; for class 0 it never does. */
  readonly unless?: FactKey;
}

export interface StepPorts extends Omit<PortMatch, "namedPort"> {
  readonly fact?: FactKey;
}

export interface ProgramContext {
  readonly tiers: ReadonlyMap<string, Tier>;
  /** The ports of that name that any peer has. */
  peerPorts(name: string): readonly NamedPort[];
  readonly allowUnknown: boolean;
  /** Told of each fact that the program asks for. */
  useFact?(key: FactKey, fact: Fact): void;
}

/** An endpoint of this node, at one of its addresses. */
export interface Subject {
  readonly claim: EndpointClaim;
  readonly place: Place;
  readonly family: Family;
}

/**
 * @param policies those that select the endpoint, whatever their directions and order.
 * @returns undefined: nothing is to be decided in that direction, everything is allowed.
 */
export function programFor(
  subject: Subject,
  policies: readonly Policy[],
  direction: Direction,
  context: ProgramContext,
): Program | undefined {
  if (subject.claim.known === undefined) {
    if (context.allowUnknown) return undefined;
    const steps = [{ uncertain: false, action: "deny", reason: { by: "unknown-endpoint" }, next: 0 }] as const;
    return { direction, steps, facts: new Map(), key: `${direction} unknown` };
  }
  const deciding = policies.filter((policy) => policy[direction] !== undefined);
  if (deciding.length === 0) return undefined;
  const builder = new ProgramBuilder(subject, direction, context);
  for (const { tier, policies } of inTiers(deciding, context.tiers)) builder.tier(tier, policies);
  return builder.program();
}

export interface TierOfPolicies {
  readonly tier: Tier;
  readonly policies: readonly Policy[];
}

/**
 * In the order in which they are asked. A tier that is not there stands before all others, and its policies are as broken
 * ones: where they would have stood nobody knows.
 */
export function inTiers(policies: readonly Policy[], tiers: ReadonlyMap<string, Tier>): readonly TierOfPolicies[] {
  const byTier = new Map<string, Policy[]>();
  for (const policy of policies) {
    const others = byTier.get(policy.tier);
    if (others === undefined) byTier.set(policy.tier, [policy]);
    else others.push(policy);
  }
  return [...byTier]
    .map(([name, members]) => {
      const tier = tiers.get(name) ?? { name, order: Number.NEGATIVE_INFINITY, defaultAction: "deny" };
      return { tier, policies: members.sort(comparePolicies) };
    })
    .sort((a, b) => compareTiers(a.tier, b.tier));
}

/** Why what the policy selects is denied. Undefined: it is in order. */
export function brokenBecause(policy: Policy, tiers: ReadonlyMap<string, Tier>): string | undefined {
  return policy.broken ?? (tiers.has(policy.tier) ? undefined : `there is no tier "${policy.tier}"`);
}

class ProgramBuilder {
  readonly #subject: Subject;
  readonly #direction: Direction;
  readonly #context: ProgramContext;
  readonly #facts = new Map<FactKey, Fact>();
  readonly #steps: (Step & { next: number })[] = [];

  constructor(subject: Subject, direction: Direction, context: ProgramContext) {
    this.#subject = subject;
    this.#direction = direction;
    this.#context = context;
  }

  tier({ name, defaultAction }: Tier, policies: readonly Policy[]): void {
    const start = this.#steps.length;
    for (const policy of policies) this.#policy(policy);
    if (defaultAction === "deny") {
      const isolatedBy = policies.map(({ id }) => id);
      this.#add({ uncertain: false, action: "deny", reason: { by: "tier", tier: name, isolatedBy } });
    }
    for (const step of this.#steps.slice(start)) step.next = this.#steps.length;
  }

  program(): Program {
    this.#add({ uncertain: false, action: "allow", reason: { by: "no-policy" } });
    return {
      direction: this.#direction,
      steps: this.#steps,
      facts: this.#facts,
      key: JSON.stringify([this.#direction, this.#steps]),
    };
  }

  #policy(policy: Policy): void {
    const { id: by } = policy;
    if (brokenBecause(policy, this.#context.tiers) !== undefined) {
      this.#add({ uncertain: false, action: "deny", reason: { by: "broken", policy: by } });
      return;
    }
    if (policy.allowsOwnNode && this.#direction === "egress") {
      const peers = [{ fact: this.#use({ ownNode: true }), outside: no } as const];
      this.#add({ peers, uncertain: false, action: "allow", reason: { by: "own-node", policy: by } });
    }
    policy[this.#direction]?.forEach((rule, index) => {
      this.#rule(policy, rule, index);
    });
  }

  #rule(policy: Policy, rule: PolicyRule, index: number): void {
    const { family } = this.#subject;
    if (rule.family !== undefined && rule.family !== family) return;
    const [peer, own] = sidesOf(rule, this.#direction);
    const ownSide = own === undefined ? yes : this.#ownSide(own);
    if (ownSide === no) return;
    const traffic = this.#ports(rule.traffic);
    const notTraffic = this.#ports(rule.notTraffic);
    this.#add({
      ...(peer === undefined ? {} : { peers: this.#peers(peer) }),
      ...(traffic.matches === undefined ? {} : { traffic: traffic.matches }),
      ...(notTraffic.matches === undefined ? {} : { notTraffic: notTraffic.matches }),
      uncertain: ownSide === maybe || asksSourcePort(rule) || traffic.uncertain || notTraffic.uncertain,
      action: rule.action,
      reason: { by: "rule", policy: policy.id, rule: index },
    });
  }

  #peers(peer: PeerMatch): readonly StepPeer[] {
    return peerTerms(peer).map(({ match, except }) => ({
      fact: this.#use({ peer: match }),
      outside: outsideTruth({ peer: match }),
      ...(except === undefined ? {} : { unless: this.#use({ peer: except }) }),
    }));
  }

  #ownSide(own: PeerMatch): Truth {
    const { claim, place } = this.#subject;
    return truthOfPeer(own, (leaf) => leafHolds(leaf, claim, place));
  }

  /** One that cannot be told makes all of them uncertain. */
  #ports(matches: PolicyRule["traffic"]): { readonly matches?: readonly StepPorts[]; readonly uncertain: boolean } {
    if (matches === undefined) return { uncertain: false };
    const { known } = this.#subject.claim;
    const names: PortNames =
      this.#direction === "ingress"
        ? { of: "own", byName: (name) => known?.ports.filter((port) => port.name === name) ?? [] }
        : ({ of: "peer", byName: (name) => this.#context.peerPorts(name) } as const);
    const found = matches.map((match) => portMatches(match, names));
    if (found.includes(undefined)) return { uncertain: true };
    const ports = found.flatMap((one) => one ?? []).map((match) => this.#stepPorts(match));
    return { matches: ports, uncertain: false };
  }

  #stepPorts({ namedPort, ...ports }: PortMatch): StepPorts {
    if (namedPort === undefined) return ports;
    if (namedPort === "unknown") return { ...ports, fact: this.#use({ unknownPorts: true }) };
    const { name, protocol, port } = namedPort;
    return { ...ports, fact: this.#use({ portName: name, protocol, port }) };
  }

  #use(fact: Fact): FactKey {
    const key = factKey(fact);
    this.#facts.set(key, fact);
    this.#context.useFact?.(key, fact);
    return key;
  }

  #add(step: Omit<Step, "next">): void {
    this.#steps.push({ ...step, next: 0 });
  }
}

/** A rule's other end, and the endpoint's own. */
export const sidesOf = (
  { source, destination }: PolicyRule,
  direction: Direction,
): readonly [peer: PeerMatch | undefined, own: PeerMatch | undefined] =>
  direction === "ingress" ? [source, destination] : [destination, source];

/** The tables have no place for the sender's port. */
export const asksSourcePort = ({ sourcePorts }: PolicyRule): boolean => sourcePorts !== undefined;
