/**
 * The datastore: raw bytes under keys, of several kinds. Three engines implement this (embedded, etcd, kubernetes) and
 * pass one contract suite (datastore.contract.ts). No multi-object transactions: Kubernetes has none.
 *
 * Every method throws TwillError `invalid` for a kind, name, value or time to live that key.ts refuses, and
 * `unavailable` after close() or while the engine cannot be reached, `unsupported` for a time to live that the engine
 * has not the capability for.
 */
export interface Datastore {
  readonly capabilities: Capabilities;
  /** All objects of a kind as of one moment, ordered by name. */
  list(kind: Kind): Promise<Listing>;
  get(kind: Kind, name: string): Promise<StoredObject | undefined>;
  /** @throws TwillError `exists` when the object is there already. */
  create(kind: Kind, name: string, value: Uint8Array, options?: WriteOptions): Promise<StoredObject>;
  /** Compare-and-swap. @throws TwillError `conflict` when the object changed since `revision`, `not-found` when it is gone. */
  update(
    kind: Kind,
    name: string,
    value: Uint8Array,
    revision: Revision,
    options?: WriteOptions,
  ): Promise<StoredObject>;
  /** With a revision: compare-and-delete (`conflict`). @throws TwillError `not-found`. */
  delete(kind: Kind, name: string, revision?: Revision): Promise<void>;
  /**
   * Sets the time left to live, counted from now, without a visible change: same revision, no event.
   * Only with `capabilities.ttl`. @throws TwillError `not-found`.
   */
  renew(kind: Kind, name: string, ttlSeconds: number): Promise<void>;
  /**
   * Changes after `from`, in order, none twice and none missing, until the signal is aborted or the store closed (the
   * iteration then ends without an error). The iterator throws only TwillError; watch again from the last revision seen.
   */
  watch(kind: Kind, from: Revision, options?: { readonly signal?: AbortSignal }): AsyncIterable<WatchEvent>;
  /** Ends every watch, waits for what is being written, releases everything. Idempotent. */
  close(): Promise<void>;
}

export interface Capabilities {
  /** Objects can expire (WriteOptions.ttlSeconds, renew). */
  readonly ttl: boolean;
  /** Old revisions are forgotten, so a watch may be told to relist. */
  readonly compaction: boolean;
}

/** A kind of object, lower-case: "leases", "config"… Doubles as the etcd prefix or Kubernetes resource of the engine's own mapping. */
export type Kind = string;

/** Opaque, comparable for equality only. One write, one new revision; a revision is never used again. */
export type Revision = string & { readonly __revision: true };

export interface StoredObject {
  readonly name: string;
  readonly value: Uint8Array;
  readonly revision: Revision;
  /**
   * Wall-clock milliseconds at which it would expire if nobody renewed it, as estimated when it was read: for people.
   * Absent: never.
   */
  readonly expiresAt?: number;
}

export interface Listing {
  readonly objects: readonly StoredObject[];
  /** Watch from here to miss nothing that comes after this list. */
  readonly revision: Revision;
}

export interface WriteOptions {
  /** Only with `capabilities.ttl`. Absent: it never expires, also when the object that is updated would have. */
  readonly ttlSeconds?: number;
}

export type WatchEvent =
  | { readonly type: "put"; readonly object: StoredObject }
  | { readonly type: "delete"; readonly name: string; readonly revision: Revision; readonly expired: boolean }
  /** The watch has seen everything up to here; a good place to resume from. */
  | { readonly type: "bookmark"; readonly revision: Revision }
  /** The watcher fell behind or the history was compacted: list again. The last event of its watch. */
  | { readonly type: "relist"; readonly reason: string };
