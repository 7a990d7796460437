import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FakeClock, systemClock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { seededRandom } from "../base/random.ts";
import type { Datastore, Listing, Revision, WatchEvent } from "./datastore.ts";
import { EmbeddedDatastore } from "./embedded/embedded.ts";
import { lazyDatastore } from "./open.ts";
import { type Delta, Reflector, type ReflectorOptions, type ReflectorState } from "./reflector.ts";
import { SnapshotFile } from "./snapshot.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Objects are numbers in decimal. */
function decode(value: Uint8Array, name: string): number {
  const number = Number(new TextDecoder().decode(value));
  if (Number.isNaN(number)) throw new TwillError("invalid", "is not a number", { object: name });
  return number;
}

/** Waits for what other tasks bring about; the timeout of the test is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

let directory: string;
let store: EmbeddedDatastore;
let told: string[];
let states: ReflectorState[];
let problems: [string, boolean][];
const running: Reflector<number>[] = [];
const caches: SnapshotFile[] = [];

beforeEach(async () => {
  directory = mkdtempSync("/tmp/twill-reflector-");
  store = await EmbeddedDatastore.open(join(directory, "store.db"));
  told = [];
  states = [];
  problems = [];
});
afterEach(async () => {
  for (const reflector of running.splice(0)) await reflector.close();
  for (const cache of caches.splice(0)) await cache.flush(); // a late write would make the directory again
  await store.close();
  rmSync(directory, { recursive: true });
});

const brief = (delta: Delta<number>) =>
  delta.type === "put"
    ? `${delta.name}=${delta.value}(${delta.previous ?? ""})`
    : `${delta.name} gone(${delta.previous})`;

function reflect(options: Partial<ReflectorOptions<number>> = {}): Reflector<number> {
  const reflector = new Reflector<number>({
    store,
    kind: "numbers",
    decode,
    clock: systemClock,
    random: seededRandom(1),
    onChange: (deltas) => told.push(...deltas.map(brief)),
    onState: (state) => states.push(state),
    onUndecodable: (name, error) => problems.push([name, error !== undefined]),
    ...options,
  });
  running.push(reflector);
  return reflector;
}

const cacheFile = (): SnapshotFile => {
  const cache = new SnapshotFile(join(directory, "numbers.snapshot"), { clock: systemClock, log: silentLog });
  caches.push(cache);
  return cache;
};

/** A datastore whose connection a test can cut and whose list and watch calls it can count. */
class Cuttable implements Datastore {
  readonly capabilities = { ttl: true, compaction: true };
  lists = 0;
  #cut: PromiseWithResolvers<never> | undefined;
  readonly #inner: Datastore;
  #connection = new AbortController();

  constructor(inner: Datastore) {
    this.#inner = inner;
  }
  cut(): void {
    this.#cut = Promise.withResolvers<never>();
    this.#connection.abort();
  }
  mend(): void {
    this.#cut = undefined;
    this.#connection = new AbortController();
  }
  #check(): void {
    if (this.#cut !== undefined) throw new TwillError("unavailable", "the cable is cut");
  }
  async list(kind: string): Promise<Listing> {
    this.lists++;
    this.#check();
    return await this.#inner.list(kind);
  }
  async *watch(
    kind: string,
    from: Revision,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<WatchEvent> {
    this.#check();
    const signal = AbortSignal.any([
      this.#connection.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    yield* this.#inner.watch(kind, from, { signal });
    if (!options.signal?.aborted) this.#check();
  }
  async get(kind: string, name: string) {
    this.#check();
    return await this.#inner.get(kind, name);
  }
  create(kind: string, name: string, value: Uint8Array) {
    return this.#inner.create(kind, name, value);
  }
  update(kind: string, name: string, value: Uint8Array, revision: Revision) {
    return this.#inner.update(kind, name, value, revision);
  }
  delete(kind: string, name: string) {
    return this.#inner.delete(kind, name);
  }
  renew(kind: string, name: string, ttlSeconds: number) {
    return this.#inner.renew(kind, name, ttlSeconds);
  }
  async close(): Promise<void> {}
}

describe("with the datastore there", () => {
  test("holds what is stored and follows every change", async () => {
    const a = await store.create("numbers", "a", bytes("1"));
    const reflector = reflect();
    expect([reflector.state, reflector.objects().size]).toEqual(["starting", 0]);
    await reflector.synced;
    expect([...reflector.objects()]).toEqual([["a", 1]]);
    await store.create("numbers", "b", bytes("2"));
    await store.update("numbers", "a", bytes("3"), a.revision);
    await store.delete("numbers", "b");
    await until(() => told.length === 4);
    expect(told).toEqual(["a=1()", "b=2()", "a=3(1)", "b gone(2)"]);
    expect([reflector.get("a"), reflector.get("b"), states]).toEqual([3, undefined, ["synced"]]);
  });

  test("an update that changes no byte is not told", async () => {
    const { revision } = await store.create("numbers", "a", bytes("1"));
    const reflector = reflect();
    await reflector.synced;
    await store.update("numbers", "a", bytes("1"), revision);
    await store.create("numbers", "b", bytes("2"));
    await until(() => told.length === 2);
    expect(told).toEqual(["a=1()", "b=2()"]);
  });

  test("an object that cannot be decoded is reported with its name and keeps its last good value, until it can or is gone", async () => {
    let { revision } = await store.create("numbers", "a", bytes("1"));
    const reflector = reflect();
    await reflector.synced;
    revision = (await store.update("numbers", "a", bytes("one"), revision)).revision;
    await store.create("numbers", "b", bytes("two"));
    await store.create("numbers", "c", bytes("3"));
    await until(() => reflector.get("c") === 3);
    expect([reflector.get("a"), reflector.get("b"), [...reflector.undecodable.keys()]]).toEqual([
      1,
      undefined,
      ["a", "b"],
    ]);
    expect(reflector.undecodable.get("a")?.code).toBe("invalid");
    await store.update("numbers", "a", bytes("4"), revision);
    await store.delete("numbers", "b");
    await until(() => problems.length === 4);
    expect(problems).toEqual([
      ["a", true],
      ["b", true],
      ["a", false],
      ["b", false],
    ]);
    expect(told).toEqual(["a=1()", "c=3()", "a=4(1)"]);
    expect(reflector.undecodable.size).toBe(0);
  });

  test("an undecodable object that returns to its last good bytes is good again", async () => {
    const first = await store.create("numbers", "a", bytes("1"));
    const reflector = reflect();
    await reflector.synced;
    const bad = await store.update("numbers", "a", bytes("x"), first.revision);
    await store.update("numbers", "a", bytes("1"), bad.revision);
    await until(() => problems.length === 2);
    expect([problems, told]).toEqual([
      [
        ["a", true],
        ["a", false],
      ],
      ["a=1()"],
    ]);
  });

  test("a callback that throws does not end the reflection", async () => {
    const reflector = reflect({
      onChange: (deltas) => {
        told.push(...deltas.map(brief));
        throw new Error("a bug of the caller");
      },
    });
    await reflector.synced;
    await store.create("numbers", "a", bytes("1"));
    await store.create("numbers", "b", bytes("2"));
    await until(() => told.length === 2);
  });

  test("nothing is told after close", async () => {
    const reflector = reflect();
    await reflector.synced;
    await reflector.close();
    await store.create("numbers", "a", bytes("1"));
    await Bun.sleep(20);
    expect(told).toEqual([]);
  });
});

describe("with the datastore away", () => {
  test("keeps what it has, says so, and tells only the differences afterwards", async () => {
    await store.create("numbers", "kept", bytes("1"));
    await store.create("numbers", "lost", bytes("2"));
    const cuttable = new Cuttable(store);
    const reflector = reflect({ store: cuttable });
    await reflector.synced;
    cuttable.cut();
    await until(() => reflector.state === "stale");
    expect(reflector.error?.message).toBe("the cable is cut");
    expect([...reflector.objects().keys()]).toEqual(["kept", "lost"]);
    await store.delete("numbers", "lost");
    await store.create("numbers", "new", bytes("3"));
    told = [];
    cuttable.mend();
    await until(() => reflector.state === "synced");
    expect(told).toEqual(["lost gone(2)", "new=3()"]);
    expect([states, reflector.error]).toEqual([["synced", "stale", "synced"], undefined]);
  });

  test("a watch that must list again does, and tells only the differences", async () => {
    await store.create("numbers", "a", bytes("1"));
    let relisted = 0;
    const cuttable = new Cuttable(store);
    const watch = cuttable.watch.bind(cuttable);
    cuttable.watch = async function* (kind, from, options) {
      if (relisted++ === 0) {
        await store.create("numbers", "b", bytes("2"));
        yield { type: "relist", reason: "test" };
      } else yield* watch(kind, from, options);
    };
    reflect({ store: cuttable });
    await until(() => told.length === 2);
    expect([told, cuttable.lists]).toEqual([["a=1()", "b=2()"], 2]);
  });

  test("a watch that ends by itself goes on from where it was, without a list", async () => {
    const cuttable = new Cuttable(store);
    const watch = cuttable.watch.bind(cuttable);
    cuttable.watch = async function* (kind, from, options) {
      for await (const event of watch(kind, from, options)) {
        yield event;
        return;
      }
    };
    const reflector = reflect({ store: cuttable });
    await reflector.synced;
    for (let index = 0; index < 4; index++) await store.create("numbers", `n${index}`, bytes(String(index)));
    await until(() => told.length === 4);
    expect([told, cuttable.lists]).toEqual([["n0=0()", "n1=1()", "n2=2()", "n3=3()"], 1]);
  });

  test("tries again at growing intervals with a random part, and not more often", async () => {
    const clock = new FakeClock();
    const cuttable = new Cuttable(store);
    cuttable.cut();
    reflect({ store: cuttable, clock });
    const at: number[] = [];
    for (let step = 0; step < 4000; step++) {
      if (cuttable.lists > at.length) at.push(clock.monotonic());
      await clock.advance(10);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    for (const [index, pause] of pauses.entries()) {
      const longest = Math.min(10_000, 100 * 2 ** index);
      expect(pause).toBeGreaterThanOrEqual(longest / 2);
      expect(pause).toBeLessThanOrEqual(longest + 20);
    }
    expect(pauses.length).toBeGreaterThan(8);
  });

  test("begins with the cached state, says so, and reconciles when the datastore is back", async () => {
    await store.create("numbers", "same", bytes("1"));
    const changed = await store.create("numbers", "changed", bytes("2"));
    await store.create("numbers", "gone", bytes("3"));
    const cache = cacheFile();
    const before = reflect({ cache });
    await before.synced;
    await before.close();
    await cache.flush();
    await store.update("numbers", "changed", bytes("4"), changed.revision);
    await store.delete("numbers", "gone");

    told = [];
    states = [];
    const cuttable = new Cuttable(store);
    cuttable.cut();
    const reflector = reflect({ store: cuttable, cache: cacheFile() });
    expect(reflector.state).toBe("cached");
    expect([...reflector.objects()]).toEqual([
      ["changed", 2],
      ["gone", 3],
      ["same", 1],
    ]);
    await until(() => reflector.error !== undefined);
    expect(told.splice(0).sort()).toEqual(["changed=2()", "gone=3()", "same=1()"]);
    expect(reflector.state).toBe("cached");
    cuttable.mend();
    await reflector.synced;
    expect(told).toEqual(["gone gone(3)", "changed=4(2)"]);
    expect(states.at(-1)).toBe("synced");
  });

  test("the last good value outlives a restart, though what is stored cannot be decoded", async () => {
    const { revision } = await store.create("numbers", "a", bytes("1"));
    const cache = cacheFile();
    const before = reflect({ cache });
    await before.synced;
    await store.update("numbers", "a", bytes("bad"), revision);
    await until(() => before.undecodable.size === 1);
    await before.close();
    await cache.flush();
    const after = reflect({ cache: cacheFile() });
    await after.synced;
    expect([after.get("a"), [...after.undecodable.keys()]]).toEqual([1, ["a"]]);
  });

  test("a datastore that cannot even be opened is one that is away; it is reached when it can be", async () => {
    const path = join(directory, "not-yet", "deeper", "store.db");
    const lazy = lazyDatastore(`embedded:${path}`);
    const reflector = reflect({ store: lazy });
    await until(() => reflector.error !== undefined);
    expect([reflector.state, reflector.error?.code]).toEqual(["starting", "io"]);
    await Bun.write(join(directory, "not-yet", "here"), "");
    await reflector.synced;
    await lazy.create("numbers", "a", bytes("1"));
    await until(() => reflector.get("a") === 1);
    await reflector.close();
    await lazy.close();
  });
});

/** As many reflectors as objects, all of one datastore that answers at once. */
class Herd {
  readonly clock = new FakeClock();
  /** When each list came, milliseconds. */
  lists: number[] = [];
  gets = 0;
  isAway = false;
  #ended = Promise.withResolvers<WatchEvent | undefined>();
  readonly #members: Reflector<number>[];

  constructor(size: number) {
    const revision = "1" as Revision;
    const objects = Array.from({ length: size }, (_, index) => ({ name: `n${index}`, value: bytes("1"), revision }));
    const unused = () => Promise.reject(new Error("a reflector writes nothing"));
    const answer = () => (this.isAway ? Promise.reject(new TwillError("unavailable", "away")) : Promise.resolve());
    const ended = () => this.#ended.promise;
    const store: Datastore = {
      capabilities: { ttl: false, compaction: true },
      list: async () => {
        await answer();
        this.lists.push(this.clock.monotonic());
        return { objects, revision };
      },
      get: async () => {
        await answer();
        this.gets++;
        return objects[0];
      },
      watch: async function* (_kind, _from, options) {
        const closed = new Promise<undefined>((resolve) =>
          options?.signal?.addEventListener("abort", () => resolve(undefined)),
        );
        const event = await Promise.race([ended(), closed]);
        if (event === undefined) await answer();
        else yield event;
      },
      create: unused,
      update: unused,
      delete: unused,
      renew: unused,
      close: () => Promise.resolve(),
    };
    this.#members = objects.map(
      (_, index) =>
        new Reflector({ store, kind: "numbers", decode, clock: this.clock, random: seededRandom(index + 1) }),
    );
    running.push(...this.#members);
  }

  /** @param milliseconds in steps of a tenth of a second, and all that follows from each. */
  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 100) {
      await this.clock.advance(100);
      await Bun.sleep(0);
    }
  }

  /** Every watch ends, with this event or with what the datastore says. */
  endWatches(event?: WatchEvent): void {
    const ending = this.#ended;
    this.#ended = Promise.withResolvers();
    ending.resolve(event);
  }

  get states(): Set<ReflectorState> {
    return new Set(this.#members.map((member) => member.state));
  }

  /** The most lists within any second. */
  get crowd(): number {
    return Math.max(...this.lists.map((from) => this.lists.filter((at) => at >= from && at < from + 1000).length));
  }
}

describe("three hundred watchers of three hundred objects", () => {
  test("that must all list again do not do so together", async () => {
    const herd = new Herd(300);
    await herd.pass(1000);
    expect([herd.lists.length, [...herd.states]]).toEqual([300, ["synced"]]);
    herd.lists = [];
    herd.endWatches({ type: "relist", reason: "410 Gone" });
    await herd.pass(10_000);
    expect([herd.lists.length, herd.gets]).toEqual([300, 0]);
    expect(herd.crowd).toBeLessThan(70);
  });

  test("that lost the datastore for long, and all find it at once, do not either", async () => {
    const herd = new Herd(300);
    await herd.pass(1000);
    herd.lists = [];
    herd.isAway = true;
    herd.endWatches();
    await herd.pass(60_000);
    expect([herd.lists.length, [...herd.states]]).toEqual([0, ["stale"]]);
    herd.isAway = false;
    await herd.pass(22_000);
    expect([herd.lists.length, herd.gets, [...herd.states]]).toEqual([300, 300, ["synced"]]);
    expect(herd.crowd).toBeLessThan(70);
  });
});
