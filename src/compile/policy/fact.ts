import type { PeerMatch } from "../../model/policy.ts";
import { type Claim, leafHolds, type Place } from "./claim.ts";
import { maybe, no, type Truth, truthOf, truthOfPeer } from "./truth.ts";

/**
 * What rules ask of the other end of a connection. Addresses for which the same facts hold are one class. A fact is a
 * rule's whole expression, not its parts: fifty networks in one rule are one fact, and one class.
 */
export type Fact =
  | { readonly peer: PeerMatch }
  /** It is an endpoint with a port of that name, which is this one. */
  | { readonly portName: string; readonly protocol: number; readonly port: number }
  | { readonly ownNode: true }
  /** It is an endpoint whose ports are not known: never certain. */
  | { readonly unknownPorts: true };

/** Equal facts, equal keys. */
export type FactKey = string;

export function factKey(fact: Fact): FactKey {
  if ("ownNode" in fact) return "own-node";
  if ("unknownPorts" in fact) return "unknown-ports";
  if ("portName" in fact) return `port ${fact.portName} ${fact.protocol}/${fact.port}`;
  return `peer ${JSON.stringify(fact.peer)}`;
}

/** Of an address outside of the cluster that no network names: class 0. */
export const outsideTruth = (fact: Fact): Truth => factHolds(fact, undefined, "nowhere");

export function factHolds(fact: Fact, claim: Claim | undefined, place: Place): Truth {
  if ("ownNode" in fact) return truthOf(claim !== undefined && "own" in claim && claim.own);
  if ("unknownPorts" in fact) {
    return claim !== undefined && "known" in claim && claim.known === undefined ? maybe : no;
  }
  if ("portName" in fact) {
    if (claim === undefined || "own" in claim) return no;
    if (claim.known === undefined) return maybe;
    const { portName, protocol, port } = fact;
    return truthOf(
      claim.known.ports.some((one) => one.name === portName && one.protocol === protocol && one.port === port),
    );
  }
  return truthOfPeer(fact.peer, (leaf) => leafHolds(leaf, claim, place));
}
