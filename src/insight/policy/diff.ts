import type { Direction, EndpointName, PolicyModel } from "../../model/policy.ts";
import { affectedBy } from "./affected.ts";
import { type Bits, bitList, bitsAnd, bitsMinus, eachBit, isEmpty } from "./bits.ts";
import { ChangedPairs } from "./changed-pairs.ts";
import { type Reach, Reachability, reachAt } from "./reach.ts";
import { allTraffic, noTraffic, type Traffic } from "./traffic.ts";
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
  const both = new BothReaches();
  const ends = { egress: new Map<Kind, Both>(), ingress: new Map<Kind, Both>() };
  const end = (kind: Kind, direction: Direction): Both | undefined => {
    const known = ends[direction].get(kind);
    if (known !== undefined || kind.who.of !== "workloads") return known;
    const found = both.of(old.reach(kind, direction), now.reach(kind, direction));
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
        if (traffic[0] === traffic[1]) continue;
        eachBit(peers, (at) => {
          const peer = universe.kinds[at];
          if (peer === undefined) return;
          const theirs = end(peer, other)?.at(subject) ?? [allTraffic, allTraffic];
          if (theirs[0] === noTraffic && theirs[1] === noTraffic) return;
          const [source, destination] = direction === "egress" ? [subject, peer] : [peer, subject];
          pairs.note(source, destination, [traffic[0], theirs[0]], [traffic[1], theirs[1]]);
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

/** One end's reach before and after. Equal traffic is one object. */
interface Both {
  readonly parts: readonly { readonly peers: Bits; readonly traffic: readonly [before: Traffic, after: Traffic] }[];
  at(peer: Kind): readonly [before: Traffic, after: Traffic];
}

class BothReaches {
  readonly #interned = new Map<string, Traffic>([allTraffic, noTraffic].map((traffic) => [traffic.join(), traffic]));
  readonly #known = new Map<Reach, Map<Reach, Both>>();

  of(before: Reach, after: Reach): Both {
    const known = this.#known.get(before) ?? new Map<Reach, Both>();
    this.#known.set(before, known);
    const found = known.get(after) ?? this.#overlay(before, after);
    known.set(after, found);
    return found;
  }

  #overlay(before: Reach, after: Reach): Both {
    const parts: Both["parts"][number][] = [];
    const add = (peers: Bits, was: Traffic, is: Traffic): void => {
      if (isEmpty(peers)) return;
      parts.push({ peers, traffic: [this.#intern(was), this.#intern(is)] });
    };
    let fresh = after;
    for (const { peers, traffic } of before) {
      let rest = peers;
      for (const part of after) {
        add(bitsAnd(peers, part.peers), traffic, part.traffic);
        rest = bitsMinus(rest, part.peers);
      }
      add(rest, traffic, noTraffic);
      fresh = fresh.map((part) => ({ ...part, peers: bitsMinus(part.peers, peers) }));
    }
    for (const { peers, traffic } of fresh) add(peers, noTraffic, traffic);
    const [was, is] = [this.#sharing(before), this.#sharing(after)];
    return { parts, at: (peer) => [reachAt(was, peer), reachAt(is, peer)] };
  }

  #sharing(reach: Reach): Reach {
    return reach.map(({ peers, traffic }) => ({ peers, traffic: this.#intern(traffic) }));
  }

  #intern(traffic: Traffic): Traffic {
    const key = traffic.join();
    const known = this.#interned.get(key);
    if (known === undefined) this.#interned.set(key, traffic);
    return known ?? traffic;
  }
}
