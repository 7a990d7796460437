import type { LeaseSource } from "../../../src/compile/compiler.ts";
import type { ConfigId } from "../../../src/model/live-switch.ts";
import type { Lease } from "../../../src/model/network.ts";

/**
 * The leases as they are to who sends by one configuration: with what each node offers for that. Nothing is sent to a node
 * that does not receive by it, and none of its other offers is taken instead: that a node sends by a configuration is what
 * the others rely on when they drop all but that.
 */
export const offeredLeases = (leases: LeaseSource, sends: () => ConfigId | undefined): LeaseSource => ({
  get(name) {
    const lease = leases.get(name);
    return lease && offered(lease, sends());
  },
  objects() {
    const id = sends();
    return new Map([...leases.objects()].map(([name, lease]) => [name, offered(lease, id)]));
  },
});

function offered(lease: Lease, id: ConfigId | undefined): Lease {
  if (lease.standing === undefined) return lease;
  const offer = lease.standing.offers.find((candidate) => candidate.id === id);
  if (offer === undefined) return { ...lease, subnets: [] };
  return { ...lease, backendType: offer.backendType, backendData: offer.backendData };
}
