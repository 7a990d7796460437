import type { Decision } from "../../model/policy-state.ts";
import type { FactKey } from "./fact.ts";
import type { Program, Step, StepPeer, StepPorts } from "./program.ts";
import { both, either, maybe, no, not, type Truth, yes } from "./truth.ts";

/** What the peer is: facts that are otherwise for it than for class 0. */
export type Facts = ReadonlyMap<FactKey, Truth>;

/** A protocol and a port of it, undefined standing for one that no rule names. */
export interface Point {
  readonly protocol: number | undefined;
  readonly port: number | undefined;
}

/** What one program says of one peer. `Decider` is for many. */
export function decideOne({ steps, direction }: Program, facts: Facts, point: Point): Decision {
  let log = false;
  for (let index = 0; ; ) {
    const step = steps[index];
    if (step === undefined) return { direction, verdict: "allow", log, reason: { by: "no-policy" } };
    const matches = stepMatches(step, facts, point);
    index++;
    if (matches === no) continue;
    const { action, reason } = step;
    if (action === "log") log = true;
    else if (action === "deny" || (action === "pass" && matches === maybe)) {
      return { direction, verdict: "deny", log, reason };
    } else if (action === "pass") index = step.next;
    else if (matches === yes) return { direction, verdict: "allow", log, reason };
  }
}

export function stepMatches({ peers, traffic, notTraffic, uncertain }: Step, facts: Facts, point: Point): Truth {
  const of = peers === undefined ? yes : anyOf(peers, facts);
  if (of === no) return no;
  const ports = traffic === undefined ? yes : anyMatches(traffic, facts, point);
  const others = notTraffic === undefined ? yes : not(anyMatches(notTraffic, facts, point));
  return both(both(of, both(ports, others)), uncertain ? maybe : yes);
}

function anyOf(peers: readonly StepPeer[], facts: Facts): Truth {
  let found: Truth = no;
  for (const { fact, outside, unless } of peers) {
    const excepted = unless === undefined ? no : (facts.get(unless) ?? no);
    found = either(found, both(facts.get(fact) ?? outside, not(excepted)));
    if (found === yes) return yes;
  }
  return found;
}

function anyMatches(matches: readonly StepPorts[], facts: Facts, point: Point): Truth {
  let found: Truth = no;
  for (const match of matches) {
    if (!covers(match, point)) continue;
    found = either(found, match.fact === undefined ? yes : (facts.get(match.fact) ?? no));
    if (found === yes) return yes;
  }
  return found;
}

export function covers(match: StepPorts, { protocol, port }: Point): boolean {
  if (match.protocol === undefined) return true;
  if (match.protocol !== protocol) return false;
  return match.ports === undefined || (port !== undefined && match.ports.first <= port && port <= match.ports.last);
}
