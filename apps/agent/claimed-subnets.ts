import type { Clock } from "../../src/base/clock.ts";
import { describeError, isCode, TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import { covers, type Prefix, prefixFamily } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Random } from "../../src/base/random.ts";
import { keepSubnet } from "../../src/ipam/claim-keeper.ts";
import type { Holder } from "../../src/ipam/subnet-claim.ts";
import { type HeldSubnet, SubnetClaimer } from "../../src/ipam/subnet-claimer.ts";
import type { ClusterNetwork, NetworkRange } from "../../src/model/network.ts";
import { openRanges, rangeList, rangeOf } from "../../src/model/ranges.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import type { SubnetSource } from "./subnet-source.ts";

export interface ClaimedSubnetsOptions {
  readonly store: Datastore;
  readonly holder: Holder;
  /** Read anew before and after each claim. */
  readonly readNetwork: () => Promise<ClusterNetwork>;
  /** What the node had before it was restarted. */
  readonly previous: readonly Prefix[];
  readonly renewMarginSeconds: number;
  /** A pod still has an address of it. */
  readonly inUse: (subnet: Prefix) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The subnets or the problems changed. */
  readonly onChange: () => void;
}

type FamilyKey = "ipv4" | "ipv6";
const families = { ipv4: 4, ipv6: 6 } as const;
const retryMs = { first: 500, longest: 30_000 };

/**
 * This node's claim of one subnet a family: made, kept, and made again when it was lost or its range is the network's no
 * more. What the node had before is given back once no pod uses it.
 */
export class ClaimedSubnets implements SubnetSource {
  readonly #options: ClaimedSubnetsOptions;
  readonly #held = new Map<FamilyKey, Prefix>();
  readonly #problems = new Map<string, Problem>();
  readonly name = "claims in the datastore";
  #families = 1;
  #round: AbortController | undefined;
  #network: ClusterNetwork | undefined;
  #surplus: Prefix[] = [];

  /** Until the datastore has confirmed or refused them, the subnets of before are in force: a node starts without it. */
  constructor(options: ClaimedSubnetsOptions) {
    this.#options = options;
    for (const subnet of options.previous) {
      const key = keyOf(subnet);
      if (this.#held.has(key)) this.#surplus.push(subnet);
      else this.#held.set(key, subnet);
    }
  }

  get subnets(): readonly Prefix[] {
    return (["ipv4", "ipv6"] as const).flatMap((key) => this.#held.get(key) ?? []);
  }

  get draining(): readonly Prefix[] {
    const network = this.#network;
    if (network === undefined) return this.#surplus;
    const { inUse } = this.#options;
    return this.#surplus.filter(
      (subnet) => !this.subnets.includes(subnet) && rangeOf(network, subnet) !== undefined && inUse(subnet),
    );
  }

  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  get waitingFor(): readonly string[] {
    return this.#held.size < this.#families ? ["a subnet for this node"] : [];
  }

  /** Claims for the families that the network has now. */
  setNetwork(network: ClusterNetwork): void {
    this.#families = rangeList(network).length;
    this.#network = network;
    this.#round?.abort();
    const round = new AbortController();
    this.#round = round;
    for (const key of ["ipv4", "ipv6"] as const) {
      const ranges = openRanges(network, families[key]);
      const held = this.#held.get(key);
      // Of whatever length: SubnetLen is for nodes that have none yet.
      if (held !== undefined && !ranges.some((range) => covers(range.network, held))) this.#forget(key);
      if (ranges.length > 0) void this.#hold(key, round.signal);
    }
  }

  stop(): void {
    this.#round?.abort();
  }

  async releaseSurplus(): Promise<void> {
    const free = this.#surplus.filter((subnet) => !this.#options.inUse(subnet) && !this.subnets.includes(subnet));
    for (const subnet of free) {
      await this.#claimer("ipv4").release(this.#options.holder, subnet);
      this.#surplus = this.#surplus.filter((other) => other !== subnet);
      this.#options.log.info("subnet given back", { subnet });
    }
  }

  async #hold(key: FamilyKey, signal: AbortSignal): Promise<void> {
    const { clock, holder, log } = this.#options;
    for (let pause = retryMs.first; !signal.aborted; ) {
      try {
        const { claimer, held } = await this.#claim(key);
        if (signal.aborted) return;
        pause = retryMs.first;
        this.#surplus = [...new Set([...this.#surplus, ...held.surplus])];
        this.#set(key, held.subnet);
        this.#solved(key);
        await this.releaseSurplus();
        const lost = await keepSubnet(claimer, holder, held, {
          clock,
          signal,
          onHeld: () => this.#solved(key),
          onUnconfirmed: (error, expired) => this.#unconfirmed(key, held.subnet, error, expired),
        });
        if (lost === undefined) return;
        this.#lost(key, lost.subnet, lost.to?.node);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof TwillError)) throw error;
        if (!isCode(error, "unavailable")) log.warn("no subnet", { error });
        this.#problem(key, {
          severity: this.#held.has(key) ? "warning" : "error",
          subject: `subnet (${key === "ipv4" ? "IPv4" : "IPv6"})`,
          message: describeError(error),
          remedy: error.remedy ?? "the agent tries again by itself",
        });
        await clock.sleep(pause, signal);
        pause = Math.min(pause * 2, retryMs.longest);
      }
    }
  }

  /** In the range that the node has a subnet of, else in the first that is not full. */
  async #claim(key: FamilyKey): Promise<{ readonly claimer: SubnetClaimer; readonly held: HeldSubnet }> {
    const before = this.#held.get(key);
    const ranges = openRanges(await this.#options.readNetwork(), families[key]).map((range) => range.network);
    const own = ranges.findIndex((network) => before !== undefined && covers(network, before));
    const order = own > 0 ? [ranges[own], ...ranges.filter((_, index) => index !== own)] : ranges;
    let full: unknown;
    for (const network of order.length === 0 ? [undefined] : order) {
      const claimer = this.#claimer(key, network);
      try {
        return { claimer, held: await claimer.claim(this.#options.holder, before) };
      } catch (error) {
        if (!isCode(error, "exhausted")) throw error;
        full = error;
      }
    }
    throw full;
  }

  /** @param network which of the ranges; absent: the first. */
  #claimer(key: FamilyKey, network?: Prefix): SubnetClaimer {
    const { store, clock, random, readNetwork, renewMarginSeconds } = this.#options;
    const readRange = async (): Promise<NetworkRange> => {
      const ranges = openRanges(await readNetwork(), families[key]);
      const range = ranges.find((candidate) => candidate.network === network) ?? ranges[0];
      if (range === undefined)
        throw new TwillError("unavailable", `the network has no ${key === "ipv4" ? "IPv4" : "IPv6"} range any more`);
      return range;
    };
    return new SubnetClaimer({ store, readRange, clock, random, renewMarginSeconds });
  }

  #set(key: FamilyKey, subnet: Prefix): void {
    if (this.#held.get(key) === subnet) return;
    this.#held.set(key, subnet);
    this.#options.log.info("subnet claimed", { subnet });
    this.#options.onChange();
  }

  #forget(key: FamilyKey): void {
    const subnet = this.#held.get(key);
    if (subnet === undefined) return;
    this.#held.delete(key);
    this.#surplus.push(subnet);
    this.#options.onChange();
  }

  #lost(key: FamilyKey, subnet: Prefix, to: string | undefined): void {
    this.#options.log.error("subnet lost", { subnet, to });
    if (to !== undefined) this.#held.delete(key);
    this.#problem(`lost ${subnet}`, {
      severity: "error",
      subject: subnet,
      message: `the claim of this subnet ran out or was deleted${to === undefined ? "" : `, and node ${to} has it now`}`,
      remedy:
        to === undefined
          ? "it is being claimed again"
          : "restart the pods of this node that still have addresses of it: twill get endpoints",
    });
  }

  #unconfirmed(key: FamilyKey, subnet: Prefix, error: TwillError, expired: boolean): void {
    if (!expired) return;
    this.#problem(key, {
      severity: "error",
      subject: subnet,
      message: `the lease of this subnet could not be renewed before it ran out: ${error.describe()}`,
      remedy: "bring the datastore back; until then another node may claim the subnet",
    });
  }

  #problem(key: string, problem: Problem): void {
    if (JSON.stringify(this.#problems.get(key)) === JSON.stringify(problem)) return;
    this.#problems.set(key, problem);
    this.#options.onChange();
  }

  #solved(key: FamilyKey): void {
    const subnet = this.#held.get(key);
    const gone = [this.#problems.delete(key), subnet !== undefined && this.#problems.delete(`lost ${subnet}`)];
    if (gone.includes(true)) this.#options.onChange();
  }
}

const keyOf = (subnet: Prefix): FamilyKey => (prefixFamily(subnet) === 4 ? "ipv4" : "ipv6");
