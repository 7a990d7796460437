import type { Address } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import { type DesiredFdbEntry, fdbKey } from "../objects/desired.ts";
import type { FdbEntry } from "../objects/neighbour.ts";
import type { EntryKind } from "./entry-kind.ts";

/**
 * All remotes of one Ethernet address. The kernel keeps them as one entry, sends a frame to each of them, and reports
 * each in a message of its own; `bridge fdb append` by hand adds a second.
 */
export interface FdbRemotes {
  readonly device: number;
  readonly mac: Mac;
  readonly remotes: readonly Address[];
  readonly permanent: boolean;
}

/** Permanent forwarding entries of our own VXLAN devices. */
export const fdbKind: EntryKind<DesiredFdbEntry, FdbRemotes, FdbEntry> = {
  name: "fdb",
  describe: (key, desired) => `forwarding entry ${key}${desired === undefined ? "" : ` dst ${desired.remote}`}`,
  desiredKey: fdbKey,
  sameDesired: (a, b) => a.remote === b.remote,
  keyOf: (seen, device) => (seen.self && seen.remote !== undefined ? fdbKey({ ...seen, device }) : undefined),
  merge(held, seen) {
    const before = held?.device === seen.device ? held.remotes : [];
    const added = seen.remote === undefined || before.includes(seen.remote) ? [] : [seen.remote];
    return {
      device: seen.device,
      mac: seen.mac,
      remotes: [...before, ...added],
      permanent: seen.state === "permanent",
    };
  },
  without(held, gone) {
    const remotes = held.remotes.filter((remote) => remote !== gone.remote);
    return remotes.length === 0 ? undefined : { ...held, remotes };
  },
  equal: (desired, held) => held.permanent && held.remotes.length === 1 && held.remotes[0] === desired.remote,
  // Others are learnt from traffic, and age.
  removable: (held) => held.permanent,
  written: ({ mac, remote }, device) => ({ device, mac, remotes: [remote], permanent: true }),
  add: (desired, device) => ({ op: "fdb.replace", entry: wanted(desired, device) }),
  // Replacing swaps the first remote for the right one without a gap, and does nothing when that is there already
  // (vxlan_fdb_replace). A report does not say whether its remote came instead of the others or beside them, so with
  // several each wrong one is deleted, there or not.
  change(desired, device, held) {
    const wrong = held === undefined || held.remotes.length < 2 ? [] : held.remotes;
    return [
      { op: "fdb.replace", entry: wanted(desired, device) },
      ...wrong
        .filter((remote) => remote !== desired.remote)
        .map((remote) => ({ op: "fdb.delete", entry: wanted({ ...desired, remote }, device) }) as const),
    ];
  },
  remove: ({ device, mac, remotes }) =>
    remotes.map((remote) => ({ op: "fdb.delete", entry: { device, mac, remote, state: "permanent", self: true } })),
};

function wanted({ mac, remote }: DesiredFdbEntry, device: number): FdbEntry {
  return { device, mac, remote, state: "permanent", self: true };
}
