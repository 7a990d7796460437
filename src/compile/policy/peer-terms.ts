import type { PeerMatch } from "../../model/policy.ts";
import type { PeerLeaf } from "./truth.ts";

/** One of the ways to be a rule's peer: to be matched, and not by what is excepted. */
export interface PeerTerm {
  readonly match: PeerMatch;
  readonly except?: PeerMatch;
}

/**
 * A rule's peers as alternatives, with what networks except standing by itself. For "0.0.0.0/0 but not mine" in a thousand rules, each with
 * another exception, is then one condition that holds nearly everywhere and a thousand that each hold in one place, instead of a
 * thousand that hold nearly everywhere, in a thousand places.
 */
export function peerTerms(match: PeerMatch): readonly PeerTerm[] {
  const alternatives = flat(match);
  const plain = alternatives.filter((one) => !hasException(one));
  if (plain.length === alternatives.length) return [{ match }];
  const [only] = plain;
  const rest = only === undefined ? [] : [{ match: plain.length === 1 ? only : { any: plain } }];
  const excepting = alternatives.filter(hasException).map(({ networks, except }) => ({
    match: { networks, except: [] },
    except: { networks: except, except: [] },
  }));
  return [...rest, ...excepting];
}

const flat = (match: PeerMatch): readonly PeerMatch[] => ("any" in match ? match.any.flatMap(flat) : [match]);

const hasException = (match: PeerMatch): match is Extract<PeerLeaf, { networks: unknown }> =>
  "networks" in match && match.except.length > 0;
