import type { Direction, EndpointName, PolicyModel } from "../../model/policy.ts";
import { affectedBy } from "./affected.ts";
import { type Bits, bitList, bitsOr, eachBit, isEmpty } from "./bits.ts";
import { ChangedPairs } from "./changed-pairs.ts";
import { type EndReach, EndReaches } from "./end-reach.ts";
import { Reachability } from "./reach.ts";
import type { Traffic } from "./traffic.ts";
import { type Kind, type Universe, universeOf } from "./universe.ts";

/** Every one of `sources` gains and loses this towards every one of `destinations`. */
export interface ReachChange {
  readonly sources: Bits;
  readonly destinations: Bits;
  readonly gained: Traffic;
  readonly lost: Traffic;
}

/** What a change of the model would open and close, exactly: no pair is in two of the changes, and none is left out. */
export interface PolicyDiff {
  readonly universe: Universe;
  readonly changes: readonly ReachChange[];
  /** Pods that only one of the models has: nothing is said of them. */
  readonly added: readonly EndpointName[];
  readonly removed: readonly EndpointName[];
}

/** Together, so that what is looked up for a pair is still in the cache for the next: the tables of all do not fit. */
const subjectsAtOnce = 64;

/**
 * Costs what differs, not what there is: a pair of kinds is looked at where the verdict of one of its ends changes.
 * A pod towards itself is left out, for no policy is asked about that.
 */
export function diffPolicies(before: PolicyModel, after: PolicyModel): PolicyDiff {
  const universe = universeOf([before, after]);
  const pairs = new ChangedPairs(universe);
  const [old, now] = [new Reachability(universe, before), new Reachability(universe, after)];
  const reaches = new EndReaches(universe);
  const ends = { egress: new Map<Kind, EndReach>(), ingress: new Map<Kind, EndReach>() };
  const end = (kind: Kind, direction: Direction): EndReach | undefined => {
    const known = ends[direction].get(kind);
    if (known !== undefined || kind.who.of !== "workloads") return known;
    const found = reaches.of(old.reach(kind, direction), now.reach(kind, direction));
    ends[direction].set(kind, found);
    return found;
  };
  const affected = affectedBy(universe, [old.predicates, now.predicates]);
  for (const direction of ["egress", "ingress"] as const) {
    const other = direction === "egress" ? "ingress" : "egress";
    const subjects = bitList(affected[direction]).flatMap((index) => {
      const kind = universe.kinds[index];
      const own = kind && end(kind, direction);
      return kind === undefined || own === undefined || isEmpty(own.changed) ? [] : [{ kind, own }];
    });
    for (let at = 0; at < subjects.length; at += subjectsAtOnce) {
      const some = subjects.slice(at, at + subjectsAtOnce);
      eachBit(some.map(({ own }) => own.changed).reduce(bitsOr), (index) => {
        const peer = universe.kinds[index];
        if (peer === undefined) return;
        const others = end(peer, other);
        for (const { kind, own } of some) {
          const ours = own.at(peer);
          const theirs = others === undefined ? reaches.open : others.at(kind);
          if (ours.before === ours.after || theirs === reaches.closed) continue;
          if (direction === "egress") pairs.note(kind, peer, ours, theirs);
          else pairs.note(peer, kind, theirs, ours);
        }
      });
    }
  }
  return {
    universe,
    changes: pairs.rectangles(),
    added: [...after.endpoints.keys()].filter((name) => !before.endpoints.has(name)),
    removed: [...before.endpoints.keys()].filter((name) => !after.endpoints.has(name)),
  };
}
