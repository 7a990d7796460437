import { addressOf } from "../../../src/backend/peers.ts";
import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { ClusterNetwork, Lease } from "../../../src/model/network.ts";
import { describeNetwork } from "../../../src/switch/describe.ts";
import { Absence, type AbsenceOptions } from "./absence.ts";

export interface LateNodesOptions extends AbsenceOptions {
  readonly clock: Clock;
  readonly leaseOf: (name: string) => Lease | undefined;
}

/** Waiting is a problem after that. */
export const patienceMs = 10_000;
/** How many machines are asked at a time whether they are there. */
const mostAsked = 64;

/** For whom a change waits, since when, and who of them is not there at all. */
export class LateNodes {
  readonly #options: LateNodesOptions;
  readonly #absence: Absence;
  readonly #since = new Map<string, number>();
  #what = "";

  constructor(options: LateNodesOptions) {
    this.#options = options;
    this.#absence = new Absence(options);
  }

  /** Machines that are not there: nobody waits for them. */
  get away(): ReadonlySet<string> {
    return this.#absence.away;
  }

  get waiting(): readonly { readonly node: string; readonly seconds: number }[] {
    const now = this.#options.clock.monotonic();
    return [...this.#since].map(([node, since]) => ({ node, seconds: Math.round((now - since) / 1000) }));
  }

  /** @param what they are waited for; for something else, the time begins anew. */
  waitFor(names: readonly string[], what: string): void {
    if (what !== this.#what) this.#since.clear();
    this.#what = what;
    const wanted = new Set(names);
    for (const name of this.#since.keys()) if (!wanted.has(name)) this.#since.delete(name);
    const now = this.#options.clock.monotonic();
    for (const name of names) if (!this.#since.has(name)) this.#since.set(name, now);
    this.#absence.watch(this.#addresses([...names, ...this.away]));
  }

  heard(name: string): void {
    this.#absence.forget(name);
  }

  stop(): void {
    this.#absence.stop();
  }

  problems(network: ClusterNetwork): readonly Problem[] {
    return this.waiting
      .filter(({ seconds }) => seconds * 1000 >= patienceMs)
      .map(({ node, seconds }) => ({
        severity: "warning",
        reason: "ChangeWaits",
        subject: node,
        message: `the change to ${describeNetwork(network)} waits for node ${node}: its agent has not answered for ${seconds} s, and its machine has not been found to be away`,
        remedy: `look at the agent of ${node}: it hangs or does not run; if the machine is gone, twill delete node ${node}; twill backend rollback undoes the change`,
      }));
  }

  #addresses(names: readonly string[]): ReadonlyMap<string, Address> {
    const addresses = new Map<string, Address>();
    for (const name of names) {
      if (addresses.size === mostAsked) break;
      const lease = this.#options.leaseOf(name);
      const address = lease && (addressOf(lease, 4) ?? addressOf(lease, 6));
      if (address !== undefined) addresses.set(name, address);
    }
    return addresses;
  }
}
