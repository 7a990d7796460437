import { type Prefix, prefixFamily } from "../base/prefix.ts";
import { TakenSubnets } from "./choose-subnet.ts";
import type { ClaimEntry, ClaimStore } from "./claim-store.ts";
import { claimName, type Holder, heldBy, keptFor } from "./subnet-claim.ts";
import { type Span, type SubnetSpace, sameRange } from "./subnet-space.ts";

/** A claim and what it covers of the space. */
interface Known {
  readonly entry: ClaimEntry;
  readonly span: Span | undefined;
}

/**
 * What the datastore held when it was last listed, and what has been learnt since by winning and losing claims. It may
 * be behind: creating the object decides, the view only says what is worth trying.
 */
export class ClaimView {
  readonly space: SubnetSpace;
  readonly taken = new TakenSubnets();
  readonly #known = new Map<string, Known>();
  readonly #byNode = new Map<string, ClaimEntry[]>();

  private constructor(space: SubnetSpace) {
    this.space = space;
  }

  /** What has not changed since `previous` is not decoded again: in a race for a full network this is the larger cost. */
  static async load(store: ClaimStore, space: SubnetSpace, previous?: ClaimView): Promise<ClaimView> {
    const before = previous !== undefined && sameRange(previous.space.range, space.range) ? previous.#known : undefined;
    const view = new ClaimView(space);
    for (const object of await store.list()) {
      const known = before?.get(object.name);
      if (known?.entry.revision === object.revision) {
        view.#add(object.name, known);
        continue;
      }
      const entry = store.decode(object);
      if (entry !== undefined) view.#add(object.name, { entry, span: space.spanOf(entry.subnet) });
    }
    return view;
  }

  won(entry: ClaimEntry): void {
    this.#add(claimName(entry.subnet), { entry, span: this.space.spanOf(entry.subnet) });
  }

  /** Someone has this subnet, or is about to; who it is does not matter. */
  lost(subnet: Prefix): void {
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

  /** Of the claims in this space: how many are reservations, and when the first of the others ends unless it is renewed. */
  summary(): { readonly reserved: number; readonly firstEnd: number | undefined } {
    let reserved = 0;
    let firstEnd: number | undefined;
    for (const { entry, span } of this.#known.values()) {
      if (span === undefined) continue;
      if (entry.claim?.reserved) reserved++;
      if (entry.expiresAt !== undefined && entry.expiresAt < (firstEnd ?? Infinity)) firstEnd = entry.expiresAt;
    }
    return { reserved, firstEnd };
  }

  #add(name: string, known: Known): void {
    this.#known.set(name, known);
    if (known.span !== undefined) this.taken.add(known.span);
    const node = known.entry.claim?.node;
    if (node === undefined) return;
    const others = this.#byNode.get(node);
    if (others === undefined) this.#byNode.set(node, [known.entry]);
    else others.push(known.entry);
  }
}
