import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { Prefix } from "../base/prefix.ts";
import type { NetworkRange } from "../model/network.ts";
import type { Datastore } from "../store/datastore.ts";
import { ClaimStore } from "./claim-store.ts";
import { ClaimView } from "./claim-view.ts";
import { subnetSpace } from "./subnet-space.ts";

/** What a node that keeps a subnet after its reservation ended has left, until it renews. */
const ttlSeconds = 24 * 3600;

/**
 * Keeps a subnet from being leased, or for the node of that name only; makes the lease that such a node has permanent.
 * Idempotent. The first machine of that name takes the reservation up for good (see docs/design/ipam.md for its end).
 *
 * @throws TwillError `invalid` outside the range, `conflict` when another has it or a part of it.
 */
export async function reserveSubnet(
  store: Datastore,
  range: NetworkRange,
  clock: Clock,
  subnet: Prefix,
  node?: string,
): Promise<void> {
  const claims = new ClaimStore(store, ttlSeconds);
  const space = subnetSpace(range);
  const index = space.indexOf(subnet);
  if (index === undefined) {
    throw new TwillError("invalid", "it is not a subnet that this network leases", {
      operation: "reserve subnet",
      object: subnet,
      remedy: `choose a /${range.subnetLength} from ${range.subnetMin} to ${range.subnetMax}`,
    });
  }
  for (;;) {
    const entry = await claims.read(subnet);
    if (entry === undefined) {
      const claim = { ...(node !== undefined && { node }), claimedAt: clock.now(), reserved: true };
      if ((await ClaimView.load(claims, space)).taken.has(index)) throw taken(subnet, "a claim of another length");
      if ((await claims.create(subnet, claim)) !== undefined) return;
    } else {
      const { claim } = entry;
      if (claim === undefined) throw taken(subnet, "a claim that this version cannot read");
      if (claim.node !== node) throw taken(subnet, claim.node === undefined ? "a reservation" : `node ${claim.node}`);
      if (claim.reserved || (await claims.replace(entry, { ...claim, reserved: true })) !== undefined) return;
    }
  }
}

/** Ends a reservation; a node that uses the subnet keeps it as an ordinary lease. Idempotent. */
export async function unreserveSubnet(store: Datastore, subnet: Prefix): Promise<void> {
  const claims = new ClaimStore(store, ttlSeconds);
  for (;;) {
    const entry = await claims.read(subnet);
    if (entry?.claim?.reserved !== true) return;
    const done =
      entry.claim.id === undefined
        ? await claims.remove(entry)
        : (await claims.replace(entry, { ...entry.claim, reserved: false })) !== undefined;
    if (done) return;
  }
}

const taken = (subnet: Prefix, owner: string): TwillError =>
  new TwillError("conflict", `${owner} has it`, {
    operation: "reserve subnet",
    object: subnet,
    remedy: "choose another subnet, or release that claim first",
  });
