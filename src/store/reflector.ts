import type { Clock } from "../base/clock.ts";
import { describeError, TwillError } from "../base/errors.ts";
import { type Log, silentLog } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Datastore, Kind, Revision, WatchEvent } from "./datastore.ts";
import type { SnapshotCache } from "./snapshot.ts";

/** One object's change. Told only when its bytes differ, so a relist of an unchanged datastore is silent. */
export type Delta<T> =
  | { readonly type: "put"; readonly name: string; readonly value: T; readonly previous: T | undefined }
  | { readonly type: "delete"; readonly name: string; readonly previous: T };

/**
 * `starting`: nothing is known yet. `cached`: only the snapshot of an earlier run is. `synced`: the objects are the
 * datastore's. `stale`: they were, and it is away now.
 */
export type ReflectorState = "starting" | "cached" | "synced" | "stale";

export interface ReflectorOptions<T> {
  readonly store: Datastore;
  readonly kind: Kind;
  /** @throws TwillError when the bytes are no such object. */
  readonly decode: (value: Uint8Array, name: string) => T;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  /** Where to begin from, and what to keep up to date. */
  readonly cache?: SnapshotCache;
  /** `objects` has the changes already. One call for all that one list or event brings, and first for what was cached. */
  readonly onChange?: (deltas: readonly Delta<T>[]) => void;
  /** With the error that ended a synced state, or keeps it from coming. */
  readonly onState?: (state: ReflectorState, error: TwillError | undefined) => void;
  /** An object cannot be decoded: its last good value stays. Undefined: it can again, or is gone. */
  readonly onUndecodable?: (name: string, error: TwillError | undefined) => void;
}

/** First pause after a failure, and the longest, milliseconds; doubled in between. The later half is random. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
/** A watch that lasted so long was a success, whatever ended it. */
const LONG_WATCH = 10_000;
/**
 * A kind that has an object a node has as many watchers, which lose a restarted server together and may all have to list
 * again, and each list costs by the object. So lists but the first are spread over a time that grows with the objects,
 * milliseconds each: none of it is felt in a cluster of three, and 1,000 nodes list within half a minute, not in a second.
 */
const SPREAD_PER_OBJECT = 30;
const LONGEST_SPREAD = 60_000;

interface Known<T> {
  readonly value: T;
  /** What `value` was decoded from. */
  /** Where the cache keeps the objects one by one, only their digest: bytes of 60,000 objects are memory. */
  readonly bytes: Uint8Array | string;
}

/**
 * A live copy of all objects of one kind: list, then watch, again and again, through whatever happens to the datastore.
 * Starts at once, with what the cache holds.
 */
export class Reflector<T> {
  readonly kind: Kind;
  readonly #options: ReflectorOptions<T>;
  readonly #log: Log;
  readonly #known = new Map<string, Known<T>>();
  readonly #undecodable = new Map<string, TwillError>();
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #firstSync = Promise.withResolvers<void>();
  /** Changes that the cache has not been told of, where it is told of each. */
  #unkept: Map<string, Uint8Array | undefined> | undefined;
  #state: ReflectorState = "starting";
  #error: TwillError | undefined;
  #failures = 0;
  #asked = false;
  #telling = false;

  constructor(options: ReflectorOptions<T>) {
    this.kind = options.kind;
    this.#options = options;
    this.#log = (options.log ?? silentLog).with({ kind: options.kind });
    const cached = this.#loadCache();
    if (this.#keeps) this.#unkept = new Map();
    this.#running = this.#run(cached);
  }

  get state(): ReflectorState {
    return this.#state;
  }

  /** Why the state is not `synced`, when something failed. */
  get error(): TwillError | undefined {
    return this.#error;
  }

  /** Objects that cannot be decoded as they are stored now, by name; `get` has their last good value, if there was one. */
  get undecodable(): ReadonlyMap<string, TwillError> {
    return this.#undecodable;
  }

  get(name: string): T | undefined {
    return this.#known.get(name)?.value;
  }

  /** How many objects there are. */
  get size(): number {
    return this.#known.size;
  }

  /** A copy, ordered by name: not to be made with each change. */
  objects(): ReadonlyMap<string, T> {
    const entries = [...this.#known].sort(([a], [b]) => (a < b ? -1 : 1));
    return new Map(entries.map(([name, known]) => [name, known.value]));
  }

  /** Resolves when the objects were the datastore's for the first time; also when it is closed before that. */
  get synced(): Promise<void> {
    return this.#firstSync.promise;
  }

  /** No callback comes after this resolved. The store and the cache stay open: they are the caller's. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#firstSync.resolve();
  }

  #loadCache(): Delta<T>[] {
    const snapshot = this.#options.cache?.load();
    if (snapshot === undefined) return [];
    const deltas = this.#replace(snapshot.objects);
    this.#state = "cached";
    this.#log.info("began with the cached state", {
      objects: this.#known.size,
      savedAt: new Date(snapshot.savedAt).toISOString(),
    });
    return deltas;
  }

  async #run(cached: readonly Delta<T>[]): Promise<void> {
    await Promise.resolve(); // no callback before the constructor has returned
    this.#telling = true;
    if (cached.length > 0) this.#call(() => this.#options.onChange?.(cached));
    for (const [name, problem] of this.#undecodable) this.#call(() => this.#options.onUndecodable?.(name, problem));
    if (this.#state === "cached") this.#call(() => this.#options.onState?.("cached", undefined));
    let from: Revision | undefined;
    while (!this.#closing.signal.aborted) {
      const began = this.#options.clock.monotonic();
      try {
        from ??= await this.#list();
        from = await this.#watch(from);
      } catch (error) {
        this.#fail(error);
        from = undefined;
      }
      if (this.#closing.signal.aborted) break;
      if (this.#options.clock.monotonic() - began >= LONG_WATCH) this.#failures = 0;
      await this.#options.clock.sleep(this.#pause(), this.#closing.signal);
    }
  }

  async #list(): Promise<Revision> {
    if (this.#asked) await this.#awaitTurn();
    this.#asked = true;
    const listing = await this.#options.store.list(this.kind);
    if (this.#closing.signal.aborted) return listing.revision;
    this.#tell(this.#replace(listing.objects));
    // That there are none is worth knowing in a start without the datastore, too.
    if (this.#state === "starting" && this.#known.size === 0) this.#keep();
    this.#setState("synced", undefined);
    return listing.revision;
  }

  /** Counts from when the datastore is there: one object, which costs next to nothing, is asked for until it answers. */
  async #awaitTurn(): Promise<void> {
    const { store, clock, random } = this.#options;
    const [name] = this.#known.keys();
    if (name === undefined) return;
    if (this.#error !== undefined) await store.get(this.kind, name);
    await clock.sleep(random.below(this.#spread), this.#closing.signal);
  }

  get #spread(): number {
    return Math.min(LONGEST_SPREAD, SPREAD_PER_OBJECT * this.#known.size);
  }

  /** @returns where to watch on from; undefined: list again. */
  async #watch(from: Revision): Promise<Revision | undefined> {
    let reached = from;
    for await (const event of this.#options.store.watch(this.kind, from, { signal: this.#closing.signal })) {
      if (this.#closing.signal.aborted) break;
      if (event.type === "relist") {
        this.#log.info("the watch must list again", { reason: event.reason });
        return undefined;
      }
      this.#failures = 0;
      this.#tell(this.#apply(event));
      reached = event.type === "put" ? event.object.revision : event.revision;
    }
    return reached;
  }

  #apply(event: Exclude<WatchEvent, { type: "relist" }>): Delta<T>[] {
    if (event.type === "put") return this.#put(event.object.name, event.object.value);
    return event.type === "delete" ? this.#remove(event.name) : [];
  }

  /** Makes `objects` all there is. */
  #replace(objects: readonly { readonly name: string; readonly value: Uint8Array }[]): Delta<T>[] {
    const present = new Set(objects.map((object) => object.name));
    const gone = new Set([...this.#known.keys(), ...this.#undecodable.keys()].filter((name) => !present.has(name)));
    return [
      ...[...gone].flatMap((name) => this.#remove(name)),
      ...objects.flatMap((object) => this.#put(object.name, object.value)),
    ];
  }

  #put(name: string, bytes: Uint8Array): Delta<T>[] {
    const known = this.#known.get(name);
    if (known !== undefined && this.#isSame(known.bytes, bytes)) {
      this.#noteDecodable(name);
      return [];
    }
    let value: T;
    try {
      value = this.#options.decode(bytes, name);
    } catch (error) {
      this.#noteUndecodable(name, error);
      return [];
    }
    this.#known.set(name, { value, bytes: this.#keeps ? digest(bytes) : bytes });
    this.#unkept?.set(name, bytes);
    this.#noteDecodable(name);
    return [{ type: "put", name, value, previous: known?.value }];
  }

  #remove(name: string): Delta<T>[] {
    const known = this.#known.get(name);
    this.#known.delete(name);
    this.#unkept?.set(name, undefined);
    this.#noteDecodable(name);
    return known === undefined ? [] : [{ type: "delete", name, previous: known.value }];
  }

  #noteUndecodable(name: string, error: unknown): void {
    const problem =
      error instanceof TwillError
        ? error
        : new TwillError("corrupt", "cannot be decoded", { object: `${this.kind}/${name}`, cause: error });
    this.#undecodable.set(name, problem);
    this.#call(() => this.#options.onUndecodable?.(name, problem));
  }

  #noteDecodable(name: string): void {
    if (this.#undecodable.delete(name)) this.#call(() => this.#options.onUndecodable?.(name, undefined));
  }

  #tell(deltas: readonly Delta<T>[]): void {
    if (deltas.length === 0) return;
    this.#call(() => this.#options.onChange?.(deltas));
    this.#keep();
  }

  get #keeps(): boolean {
    return this.#options.cache?.keep !== undefined;
  }

  #isSame(known: Uint8Array | string, bytes: Uint8Array): boolean {
    return typeof known === "string" ? known === digest(bytes) : equal(known, bytes);
  }

  #keep(): void {
    const { cache } = this.#options;
    if (cache?.keep !== undefined) {
      cache.keep(this.#unkept ?? new Map());
      this.#unkept = new Map();
      return;
    }
    cache?.changed(() => ({
      savedAt: this.#options.clock.now(),
      objects: [...this.#known].flatMap(([name, { bytes }]) =>
        typeof bytes === "string" ? [] : [{ name, value: bytes }],
      ),
    }));
  }

  #fail(error: unknown): void {
    const problem =
      error instanceof TwillError ? error : new TwillError("internal", describeError(error), { cause: error });
    if (this.#closing.signal.aborted) return;
    this.#log.debug("the datastore cannot be reached", { error: problem });
    this.#setState(this.#state === "synced" ? "stale" : this.#state, problem);
  }

  #setState(state: ReflectorState, error: TwillError | undefined): void {
    const changed = state !== this.#state || error?.describe() !== this.#error?.describe();
    this.#state = state;
    this.#error = error;
    if (changed) this.#call(() => this.#options.onState?.(state, error));
    if (state === "synced") this.#firstSync.resolve();
  }

  /** A failing callback is its owner's bug; it must not end the reflection that everything else lives on. */
  #call(callback: () => void): void {
    if (!this.#telling || this.#closing.signal.aborted) return;
    try {
      callback();
    } catch (error) {
      this.#log.error("a callback failed", { error: describeError(error) });
    }
  }

  #pause(): number {
    // Those who wait for one server are as many as those who will list: they ask less often, too.
    const limit = Math.max(LONGEST_PAUSE, this.#spread);
    const longest = Math.min(limit, FIRST_PAUSE * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    return longest / 2 + this.#options.random.below(Math.ceil(longest / 2));
  }
}

/** 128 bits of SHA-256: whoever writes objects must not be able to hide a change. */
const digest = (bytes: Uint8Array): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 32);

const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);
