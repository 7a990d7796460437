import type { Clock } from "../base/clock.ts";
import { covers, type Prefix } from "../base/prefix.ts";
import type { Random } from "../base/random.ts";
import type { NetworkRange } from "../model/network.ts";
import type { Datastore } from "../store/datastore.ts";
import { chooseSubnet } from "./choose-subnet.ts";
import { type ClaimEntry, ClaimStore } from "./claim-store.ts";
import { ClaimView } from "./claim-view.ts";
import { type Holder, heldBy, type SubnetClaim } from "./subnet-claim.ts";
import { type SubnetSpace, sameRange, subnetSpace } from "./subnet-space.ts";
import { subnetsExhausted } from "./subnets-exhausted.ts";

export interface ClaimerOptions {
  readonly store: Datastore;
  /**
   * The range as the cluster's configuration says now. It is read before a claim and once more after it: a claim made
   * while SubnetLen changed could overlap one of another length, which compare-and-swap of one object cannot see.
   */
  readonly readRange: () => Promise<NetworkRange>;
  readonly clock: Clock;
  readonly random: Random;
  /** Of a claim, where the store has time to live. Flannel's 24 hours unless said otherwise. */
  readonly ttlSeconds?: number;
  /** A claim is renewed when it has less than this left. Flannel's 60 minutes unless said otherwise. */
  readonly renewMarginSeconds?: number;
}

/** A subnet that is the holder's. */
export interface HeldSubnet {
  readonly subnet: Prefix;
  /** Wall-clock milliseconds. Absent: the claim does not expire. */
  readonly expiresAt?: number;
  /** Other subnets of the family that the holder has claimed: for the caller to release, once no pod uses them. */
  readonly surplus: readonly Prefix[];
}

export type RenewOutcome =
  | { readonly type: "held"; readonly held: HeldSubnet }
  /** It expired while the node was away, or was deleted. `to`: who has it now; absent when nobody has. */
  | { readonly type: "lost"; readonly subnet: Prefix; readonly to?: SubnetClaim };

/** Losing that often more than winning, since the view was loaded, means that it is behind. */
const lossesBeforeReload = 4;
const viewLifetimeMs = 10_000;

/**
 * Claims the subnets of one family by compare-and-swap of single objects. Any number of claimers in any number of
 * processes may work on one store. Methods throw TwillError `unavailable` when the store does.
 */
export class SubnetClaimer {
  readonly #store: ClaimStore;
  readonly #options: ClaimerOptions;
  #view: ClaimView | undefined;
  #loading: { readonly range: NetworkRange; readonly view: Promise<ClaimView> } | undefined;
  #loadedAt = 0;
  #wins = 0;
  #losses = 0;

  constructor(options: ClaimerOptions) {
    this.#options = options;
    this.#store = new ClaimStore(options.store, options.ttlSeconds ?? 24 * 3600);
  }

  /**
   * One subnet for the holder: what is reserved for it, else what it has already (`previous` first), else `previous`
   * when nobody has it, else a random free one. Idempotent; different holders may claim at the same time.
   *
   * @throws TwillError `exhausted` when none is free, `invalid` for an impossible range.
   */
  async claim(holder: Holder, previous?: Prefix): Promise<HeldSubnet> {
    for (;;) {
      const range = await this.#options.readRange();
      const kept = await this.#keep(range, holder, previous);
      const held = kept ?? (await this.#take(range, holder, previous));
      if (sameRange(range, await this.#options.readRange())) return held;
      // What the holder had before may be in use by its pods: it shows up as surplus in the next round.
      if (kept === undefined) await this.release(holder, held.subnet);
    }
  }

  /** Makes sure that the subnet is still the holder's, and extends a claim that is about to expire. */
  async renew(holder: Holder, { subnet, surplus }: HeldSubnet): Promise<RenewOutcome> {
    const margin = (this.#options.renewMarginSeconds ?? 3600) * 1000;
    for (;;) {
      const entry = await this.#store.read(subnet);
      if (entry === undefined) return { type: "lost", subnet };
      const { claim, expiresAt } = entry;
      if (claim === undefined || !heldBy(claim, holder)) return { type: "lost", subnet, ...(claim && { to: claim }) };
      const due = expiresAt !== undefined && expiresAt - this.#options.clock.now() <= margin;
      // Written by compare-and-swap, for Datastore.renew would as well prolong the claim of whoever took it meanwhile.
      const written = due ? await this.#store.replace(entry, claim) : entry;
      if (written !== undefined) return { type: "held", held: heldSubnet(written, surplus) };
    }
  }

  /** Gives the subnet back; a reservation stays, free for its node. Idempotent. False: it was not the holder's. */
  async release(holder: Holder, subnet: Prefix): Promise<boolean> {
    for (;;) {
      const entry = await this.#store.read(subnet);
      if (entry?.claim === undefined || !heldBy(entry.claim, holder)) return false;
      const { id: _, ...withoutMachine } = entry.claim;
      const done = withoutMachine.reserved
        ? (await this.#store.replace(entry, withoutMachine)) !== undefined
        : await this.#store.remove(entry);
      if (done) return true;
    }
  }

  /** A subnet of the range that the holder has already, or that is reserved for it. */
  async #keep(range: NetworkRange, holder: Holder, previous: Prefix | undefined): Promise<HeldSubnet | undefined> {
    let view = await this.#current(range);
    for (;;) {
      const own = view.claimsOf(holder);
      // Of another length, too: a SubnetLen that changed is for nodes that have no subnet yet.
      const usable = own.filter(({ subnet }) => covers(range.network, subnet) && isWithin(view.space, subnet));
      const reserved = usable.find(({ claim }) => claim?.reserved);
      const entry = reserved ?? usable.find(({ subnet }) => subnet === previous) ?? usable[0];
      if (entry?.claim === undefined) return undefined;
      const written = await this.#store.replace(entry, { ...entry.claim, ...holder });
      if (written !== undefined) return heldSubnet(written, subnetsOf(own.filter((other) => other !== entry)));
      view = await this.#load(range);
    }
  }

  async #take(range: NetworkRange, holder: Holder, previous: Prefix | undefined): Promise<HeldSubnet> {
    const { clock, random } = this.#options;
    for (let looksFull = false; ; ) {
      const view = await this.#current(range);
      const subnet = chooseSubnet(view.space, view.taken, previous, random);
      if (subnet === undefined) {
        if (looksFull) throw subnetsExhausted(view);
        looksFull = true;
        await this.#load(range);
        continue;
      }
      // Before the attempt, so that claims under way at the same time try another; it is not free whoever gets it.
      view.lost(subnet);
      const entry = await this.#store.create(subnet, { ...holder, claimedAt: clock.now(), reserved: false });
      if (entry !== undefined) {
        const surplus = subnetsOf(view.claimsOf(holder));
        this.#wins++;
        (this.#view ?? view).won(entry);
        return heldSubnet(entry, surplus);
      }
      if (++this.#losses >= lossesBeforeReload + this.#wins) await this.#load(range);
    }
  }

  async #current(range: NetworkRange): Promise<ClaimView> {
    const old = this.#options.clock.monotonic() - this.#loadedAt > viewLifetimeMs;
    if (this.#view !== undefined && !old && sameRange(this.#view.space.range, range)) return this.#view;
    return this.#load(range);
  }

  /** Claims under way at the same time share one listing. */
  async #load(range: NetworkRange): Promise<ClaimView> {
    if (this.#loading === undefined || !sameRange(this.#loading.range, range)) {
      const view = ClaimView.load(this.#store, subnetSpace(range), this.#view);
      this.#loading = { range, view };
    }
    const loading = this.#loading;
    try {
      const view = await loading.view;
      if (this.#loading !== loading) return view;
      this.#view = view;
      this.#loadedAt = this.#options.clock.monotonic();
      this.#wins = 0;
      this.#losses = 0;
      return view;
    } finally {
      if (this.#loading === loading) this.#loading = undefined;
    }
  }
}

/** Not before SubnetMin and not behind SubnetMax. */
const isWithin = (space: SubnetSpace, subnet: Prefix): boolean => space.spanOf(subnet) !== undefined;

const subnetsOf = (entries: readonly ClaimEntry[]): Prefix[] => entries.map(({ subnet }) => subnet);

const heldSubnet = ({ subnet, expiresAt }: ClaimEntry, surplus: readonly Prefix[]): HeldSubnet => ({
  subnet,
  ...(expiresAt !== undefined && { expiresAt }),
  surplus,
});
