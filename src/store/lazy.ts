import { TwillError } from "../base/errors.ts";
import type {
  Capabilities,
  Datastore,
  Kind,
  Listing,
  Revision,
  StoredObject,
  WatchEvent,
  WriteOptions,
} from "./datastore.ts";

/** A datastore that is opened at its first use. While that fails, every use fails as opening does, and tries again. */
export class LazyDatastore implements Datastore {
  readonly capabilities: Capabilities;
  readonly #open: () => Promise<Datastore>;
  #opening: Promise<Datastore> | undefined;
  #closed = false;

  constructor(capabilities: Capabilities, open: () => Promise<Datastore>) {
    this.capabilities = capabilities;
    this.#open = open;
  }

  /** What it opens: for what only one engine has. @throws TwillError as opening does. */
  engine(): Promise<Datastore> {
    return this.#store();
  }

  async list(kind: Kind): Promise<Listing> {
    return (await this.#store()).list(kind);
  }

  async get(kind: Kind, name: string): Promise<StoredObject | undefined> {
    return (await this.#store()).get(kind, name);
  }

  async create(kind: Kind, name: string, value: Uint8Array, options?: WriteOptions): Promise<StoredObject> {
    return (await this.#store()).create(kind, name, value, options);
  }

  async update(
    kind: Kind,
    name: string,
    value: Uint8Array,
    revision: Revision,
    options?: WriteOptions,
  ): Promise<StoredObject> {
    return (await this.#store()).update(kind, name, value, revision, options);
  }

  async delete(kind: Kind, name: string, revision?: Revision): Promise<void> {
    return (await this.#store()).delete(kind, name, revision);
  }

  async renew(kind: Kind, name: string, ttlSeconds: number): Promise<void> {
    return (await this.#store()).renew(kind, name, ttlSeconds);
  }

  async *watch(kind: Kind, from: Revision, options?: { readonly signal?: AbortSignal }): AsyncGenerator<WatchEvent> {
    yield* (await this.#store()).watch(kind, from, options);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const store = await this.#opening?.catch(() => undefined);
    await store?.close();
  }

  #store(): Promise<Datastore> {
    if (this.#closed) return Promise.reject(new TwillError("unavailable", "the datastore was closed"));
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }
}
