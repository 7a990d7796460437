import { type DesiredNeighbour, neighbourKey } from "../objects/desired.ts";
import type { Neighbour } from "../objects/neighbour.ts";
import type { EntryKind } from "./entry-kind.ts";

/** Permanent neighbours on our own tunnel devices. */
export const neighbourKind: EntryKind<DesiredNeighbour, Neighbour> = {
  name: "neighbour",
  describe: (key, desired) => `neighbour ${key}${desired === undefined ? "" : ` lladdr ${desired.mac}`}`,
  desiredKey: neighbourKey,
  sameDesired: (a, b) => a.mac === b.mac,
  keyOf: (seen, device) => (seen.proxy === true ? undefined : neighbourKey({ ...seen, device })),
  merge: (_held, seen) => seen,
  without: () => undefined,
  equal: (desired, held) => held.state === "permanent" && held.mac === desired.mac,
  // Others are the kernel's own: multicast (noarp), and what it resolves by itself.
  removable: (held) => held.state === "permanent",
  written: wanted,
  add: (desired, device) => ({ op: "neighbour.replace", neighbour: wanted(desired, device) }),
  change: (desired, device) => [{ op: "neighbour.replace", neighbour: wanted(desired, device) }],
  remove: (held) => [{ op: "neighbour.delete", neighbour: held }],
};

function wanted({ address, mac }: DesiredNeighbour, device: number): Neighbour {
  return { device, address, mac, state: "permanent" };
}
