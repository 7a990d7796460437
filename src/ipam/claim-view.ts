import { prefixFamily } from "../base/prefix.ts";
import { TakenSubnets } from "./choose-subnet.ts";
import type { ClaimEntry, ClaimStore } from "./claim-store.ts";
import { claimName, type Holder, heldBy, keptFor } from "./subnet-claim.ts";
import type { SubnetSpace } from "./subnet-space.ts";

/**
 * What the datastore held when it was last listed, and what has been learnt since by winning and losing claims. It may
 * be behind: creating the object decides, the view only says what is worth trying.
 */
export class ClaimView {
  readonly space: SubnetSpace;
  readonly taken = new TakenSubnets();
  readonly #entries: Map<string, ClaimEntry>;
  readonly #byNode = new Map<string, ClaimEntry[]>();

  private constructor(space: SubnetSpace, entries: Map<string, ClaimEntry>) {
    this.space = space;
    this.#entries = entries;
    for (const entry of entries.values()) this.#index(entry);
  }

  static async load(store: ClaimStore, space: SubnetSpace, previous?: ClaimView): Promise<ClaimView> {
    return new ClaimView(space, await store.list(previous === undefined ? undefined : previous.#entries));
  }

  won(entry: ClaimEntry): void {
    this.#entries.set(claimName(entry.subnet), entry);
    this.#index(entry);
  }

  /** Someone else has this subnet; who it is does not matter. */
  lost(subnet: ClaimEntry["subnet"]): void {
    const span = this.space.spanOf(subnet);
    if (span !== undefined) this.taken.add(span);
  }

  /** The holder's claims of this family, inside the space or not; what an administrator reserved for it comes first. */
  claimsOf(holder: Holder): readonly ClaimEntry[] {
    const family = prefixFamily(this.space.range.network);
    const own = (this.#byNode.get(holder.node) ?? []).filter(
      ({ subnet, claim }) =>
        prefixFamily(subnet) === family && claim !== undefined && (heldBy(claim, holder) || keptFor(claim, holder)),
    );
    return own.sort((a, b) => Number(b.claim?.reserved ?? false) - Number(a.claim?.reserved ?? false));
  }

  /** All that keeps subnets of this space from being leased. */
  inSpace(): readonly ClaimEntry[] {
    return [...this.#entries.values()].filter(({ subnet }) => this.space.spanOf(subnet) !== undefined);
  }

  #index(entry: ClaimEntry): void {
    this.lost(entry.subnet);
    const node = entry.claim?.node;
    if (node === undefined) return;
    const others = this.#byNode.get(node);
    if (others === undefined) this.#byNode.set(node, [entry]);
    else others.push(entry);
  }
}
