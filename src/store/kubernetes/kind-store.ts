import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Kind, Listing, Revision, StoredObject, WatchEvent } from "../datastore.ts";
import type { KubernetesClient } from "./client.ts";

/**
 * How one kind of ours lies in the Kubernetes API: the Datastore's methods for that kind. Names and values were checked.
 * Writes are compare-and-swap by the API's own resource versions; a revision is one, unless the kind says otherwise.
 */
export interface KindStore {
  list(): Promise<Listing>;
  get(name: string): Promise<StoredObject | undefined>;
  create(name: string, value: Uint8Array): Promise<StoredObject>;
  update(name: string, value: Uint8Array, revision: Revision): Promise<StoredObject>;
  delete(name: string, revision: Revision | undefined): Promise<void>;
  watch(from: Revision, signal: AbortSignal): AsyncIterable<WatchEvent>;
}

/** What a KindStore works with. */
export interface KindContext {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export type KindStoreFactory = (kind: Kind, context: KindContext) => KindStore;

export const asRevision = (resourceVersion: string | undefined): Revision => (resourceVersion ?? "") as Revision;
