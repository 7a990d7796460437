import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { Datastore, Listing, Revision, StoredObject, WatchEvent } from "../store/datastore.ts";

/** The part of a Datastore that claims need, for decisions tested in steps. What engines do is tested with engines. */
export class MemoryStore implements Datastore {
  readonly capabilities;
  readonly #clock: Clock;
  readonly #objects = new Map<string, StoredObject>();
  #revision = 0;
  /** Called before each write: where a test lets another writer in. */
  beforeWrite: () => Promise<void> | void = () => {};
  writes = 0;

  constructor(clock: Clock, ttl = true) {
    this.#clock = clock;
    this.capabilities = { ttl, compaction: false };
  }

  async list(kind: string): Promise<Listing> {
    const prefix = `${kind}/`;
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix));
    const objects = keys.flatMap((key) => this.#live(key) ?? []);
    return { objects, revision: String(this.#revision) as Revision };
  }

  async get(kind: string, name: string): Promise<StoredObject | undefined> {
    return this.#live(`${kind}/${name}`);
  }

  async create(kind: string, name: string, value: Uint8Array, options: { ttlSeconds?: number } = {}) {
    await this.beforeWrite();
    if (this.#live(`${kind}/${name}`) !== undefined) throw new TwillError("exists", name);
    return this.#put(kind, name, value, options.ttlSeconds);
  }

  async update(
    kind: string,
    name: string,
    value: Uint8Array,
    revision: Revision,
    options: { ttlSeconds?: number } = {},
  ) {
    await this.beforeWrite();
    this.#compare(kind, name, revision);
    return this.#put(kind, name, value, options.ttlSeconds);
  }

  async delete(kind: string, name: string, revision?: Revision): Promise<void> {
    await this.beforeWrite();
    this.#compare(kind, name, revision);
    this.#objects.delete(`${kind}/${name}`);
    this.writes++;
  }

  async renew(): Promise<void> {
    throw new TwillError("unsupported", "claims are renewed by compare-and-swap");
  }

  watch(): AsyncIterable<WatchEvent> {
    throw new TwillError("unsupported", "claims are not watched");
  }

  async close(): Promise<void> {}

  #live(key: string): StoredObject | undefined {
    const object = this.#objects.get(key);
    return object?.expiresAt !== undefined && object.expiresAt <= this.#clock.now() ? undefined : object;
  }

  #compare(kind: string, name: string, revision: Revision | undefined): void {
    const object = this.#live(`${kind}/${name}`);
    if (object === undefined) throw new TwillError("not-found", name);
    if (revision !== undefined && object.revision !== revision) throw new TwillError("conflict", name);
  }

  #put(kind: string, name: string, value: Uint8Array, ttlSeconds: number | undefined): StoredObject {
    const object: StoredObject = {
      name,
      value,
      revision: String(++this.#revision) as Revision,
      ...(ttlSeconds !== undefined && { expiresAt: this.#clock.now() + ttlSeconds * 1000 }),
    };
    this.#objects.set(`${kind}/${name}`, object);
    this.writes++;
    return object;
  }
}
