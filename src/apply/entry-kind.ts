import type { RtnlOperation } from "../kernel/rtnl.ts";

export type EntryKindName = "address" | "neighbour" | "fdb" | "route";

/**
 * What the reconciler must know of one kind of entry on a device. D: as desired; A: as held in the cache; S: as the
 * kernel reports it, one message at a time (A and S differ where one entry comes as several messages).
 */
export interface EntryKind<D extends { readonly device: string }, A extends { readonly device?: number }, S = A> {
  readonly name: EntryKindName;
  /** For people: "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1". */
  describe(key: string, desired: D | undefined): string;
  desiredKey(entry: D): string;
  sameDesired(a: D, b: D): boolean;
  /** The desired entry's key for an entry on the device of that name. Undefined: of no concern to us. */
  keyOf(seen: S, device: string): string | undefined;
  /** The cache after a report that the entry is there. */
  merge(held: A | undefined, seen: S): A;
  /** The cache after a report that the entry is gone; the report may be older than what is held. */
  without(held: A, gone: S): A | undefined;
  /** Whether the kernel has what is desired; that both are on the same device is checked already. */
  equal(desired: D, held: A): boolean;
  /** Whether it may be removed when nobody desires it. */
  removable(held: A): boolean;
  /** What is held once the desired entry is written. */
  written(desired: D, device: number): A;
  add(desired: D, device: number): RtnlOperation;
  /** `held`: what stands there, ours or not; undefined when nothing does but adding it failed for what is around. */
  change(desired: D, device: number, held: A | undefined): readonly RtnlOperation[];
  remove(held: A): readonly RtnlOperation[];
}
