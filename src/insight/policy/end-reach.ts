import { type Bits, bitsAnd, bitsMinus, bitsOr, eachBit, emptyBits, isEmpty } from "./bits.ts";
import type { Reach } from "./reach.ts";
import { allTraffic, noTraffic, type Traffic } from "./traffic.ts";
import type { Kind, Universe } from "./universe.ts";

/** What one end lets pass before and after a change. One object for equal ones, and equal traffic is one object. */
export interface EndChange {
  readonly number: number;
  readonly before: Traffic;
  readonly after: Traffic;
}

/** By who is at the other end. */
export interface EndReach {
  /** Peers for whom it is other than before. */
  readonly changed: Bits;
  at(peer: Kind): EndChange;
}

interface Part {
  readonly peers: Bits;
  readonly traffic: EndChange;
}

/** Lays reaches before a change over those behind it. */
export class EndReaches {
  readonly #universe: Universe;
  readonly #interned = new Map<string, Traffic>([allTraffic, noTraffic].map((traffic) => [traffic.join(), traffic]));
  readonly #changes = new Map<string, EndChange>();
  readonly #known = new Map<Reach, Map<Reach, EndReach>>();
  /** Of an end that no policy is asked about. */
  readonly open: EndChange;
  readonly closed: EndChange;

  constructor(universe: Universe) {
    this.#universe = universe;
    this.open = this.#change(allTraffic, allTraffic);
    this.closed = this.#change(noTraffic, noTraffic);
  }

  of(before: Reach, after: Reach): EndReach {
    const known = this.#known.get(before) ?? new Map<Reach, EndReach>();
    this.#known.set(before, known);
    const found = known.get(after) ?? this.#overlay(before, after);
    known.set(after, found);
    return found;
  }

  #overlay(before: Reach, after: Reach): EndReach {
    const parts: Part[] = [];
    const add = (peers: Bits, was: Traffic, is: Traffic): void => {
      if (!isEmpty(peers)) parts.push({ peers, traffic: this.#change(was, is) });
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
    let table: Uint16Array | undefined;
    return {
      changed: parts
        .filter(({ traffic }) => traffic.before !== traffic.after)
        .map(({ peers }) => peers)
        .reduce(bitsOr, emptyBits(this.#universe.kinds.length)),
      at: (peer) => {
        table ??= this.#table(parts);
        return parts[(table[peer.index] ?? 0) - 1]?.traffic ?? this.closed;
      },
    };
  }

  /** By index of the peer, its part, from 1: asked for millions of pairs. */
  #table(parts: readonly Part[]): Uint16Array {
    const table = new Uint16Array(this.#universe.kinds.length);
    for (const [at, { peers }] of parts.entries()) {
      eachBit(peers, (index) => {
        table[index] = at + 1;
      });
    }
    return table;
  }

  #change(was: Traffic, is: Traffic): EndChange {
    const [before, after] = [this.#intern(was), this.#intern(is)];
    const key = `${before}|${after}`;
    const change = this.#changes.get(key) ?? { number: this.#changes.size, before, after };
    this.#changes.set(key, change);
    return change;
  }

  #intern(traffic: Traffic): Traffic {
    const key = traffic.join();
    const known = this.#interned.get(key);
    if (known === undefined) this.#interned.set(key, traffic);
    return known ?? traffic;
  }
}
