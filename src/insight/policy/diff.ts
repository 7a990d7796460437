import type { Direction, EndpointName, PolicyModel } from "../../model/policy.ts";
import { affectedBy } from "./affected.ts";
import { type Bits, bitList, eachBit } from "./bits.ts";
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
    for (const index of bitList(affected[direction])) {
      const subject = universe.kinds[index];
      const own = subject && end(subject, direction);
      if (subject === undefined || own === undefined) continue;
      const other = direction === "egress" ? "ingress" : "egress";
      for (const { peers, traffic } of own.parts) {
        if (traffic.before === traffic.after) continue;
        eachBit(peers, (at) => {
          const peer = universe.kinds[at];
          if (peer === undefined) return;
          const theirs = end(peer, other)?.at(subject) ?? reaches.open;
          if (theirs === reaches.closed) return;
          if (direction === "egress") pairs.note(subject, peer, traffic, theirs);
          else pairs.note(peer, subject, theirs, traffic);
        });
      }
    }
  }
  return {
    universe,
    changes: pairs.rectangles(),
    added: [...after.endpoints.keys()].filter((name) => !before.endpoints.has(name)),
    removed: [...before.endpoints.keys()].filter((name) => !after.endpoints.has(name)),
  };
}
