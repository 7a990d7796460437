import type { EndpointName, PolicyModel } from "../../model/policy.ts";
import { addBit, type Bits, bitsAnd, bitsMinus, eachBit, emptyBits, isEmpty } from "./bits.ts";
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
  const pods = universe.kinds.filter(({ who }) => who.of === "workloads");
  const ends = new Map<Kind, { readonly egress: Both; readonly ingress: Both }>();
  const both = new BothReaches(universe);
  for (const kind of pods) {
    ends.set(kind, {
      egress: both.of(old.reach(kind, "egress"), now.reach(kind, "egress")),
      ingress: both.of(old.reach(kind, "ingress"), now.reach(kind, "ingress")),
    });
  }
  const changedInside = emptyBits(universe.kinds.length);
  for (const [kind, { ingress }] of ends) if (!isEmpty(ingress.changed)) addBit(changedInside, kind.index);

  for (const source of universe.kinds) {
    const egress = ends.get(source)?.egress;
    const visit = (index: number, [out0, out1]: readonly [Traffic, Traffic]): void => {
      const destination = universe.kinds[index];
      if (destination === undefined || destination.family !== source.family) return;
      const ingress = ends.get(destination)?.ingress;
      const [in0, in1] = ingress?.at(source) ?? [allTraffic, allTraffic];
      pairs.note(source, destination, [out0, in0], [out1, in1]);
    };
    if (egress === undefined) {
      if (source.who.of !== "nodes" || !source.who.own)
        eachBit(changedInside, (index) => visit(index, [allTraffic, allTraffic]));
      continue;
    }
    for (const { peers, traffic } of egress.parts) {
      const changed = traffic[0] !== traffic[1];
      eachBit(changed ? peers : bitsAnd(peers, changedInside), (index) => visit(index, traffic));
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
  readonly changed: Bits;
  at(peer: Kind): readonly [before: Traffic, after: Traffic];
}

class BothReaches {
  readonly #universe: Universe;
  readonly #interned = new Map<string, Traffic>([allTraffic, noTraffic].map((traffic) => [traffic.join(), traffic]));
  readonly #known = new Map<Reach, Map<Reach, Both>>();

  constructor(universe: Universe) {
    this.#universe = universe;
  }

  of(before: Reach, after: Reach): Both {
    const known = this.#known.get(before) ?? new Map<Reach, Both>();
    this.#known.set(before, known);
    const found = known.get(after) ?? this.#overlay(before, after);
    known.set(after, found);
    return found;
  }

  #overlay(before: Reach, after: Reach): Both {
    const parts: Both["parts"][number][] = [];
    const changed = emptyBits(this.#universe.kinds.length);
    const add = (peers: Bits, was: Traffic, is: Traffic): void => {
      if (isEmpty(peers)) return;
      const traffic = [this.#intern(was), this.#intern(is)] as const;
      parts.push({ peers, traffic });
      if (traffic[0] !== traffic[1])
        for (let at = 0; at < changed.length; at++) changed[at] = (changed[at] ?? 0) | (peers[at] ?? 0);
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
    return { parts, changed, at: (peer) => [reachAt(was, peer), reachAt(is, peer)] };
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
