import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ErrorCode, TwillError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import type { Datastore, Listing, Revision, StoredObject, WatchEvent } from "./datastore.ts";
import { MAX_NAME_LENGTH, MAX_VALUE_BYTES } from "./key.ts";
import { spawnWorker } from "./spawn-worker.fixture.ts";

/** An engine under test, with data of its own for each test. */
export interface DatastoreHarness {
  readonly store: Datastore;
  /** By which other processes open the same data (openDatastore). */
  readonly url: string;
  /** Another handle on the same data; the suite closes it. */
  another(): Promise<Datastore>;
  /** Forgets the history up to now. Required with `capabilities.compaction`. */
  compact?(): Promise<void>;
  /** Events that are on their way to a watcher reach it although the history is forgotten meanwhile. */
  readonly sendsAhead?: boolean;
  close(): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const nobody = "0000000000000000.1" as Revision;

/** What every Datastore does, whatever its engine. Call it in a test file with a way to open the engine. */
export function datastoreContract(name: string, open: () => Promise<DatastoreHarness>): void {
  describe(`${name} keeps the datastore contract:`, () => {
    let harness: DatastoreHarness;
    let store: Datastore;
    const opened: Datastore[] = [];
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    afterAll(() => {
      process.off("unhandledRejection", note);
      expect(unhandled).toEqual([]);
    });

    beforeEach(async () => {
      harness = await open();
      store = harness.store;
    });
    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close();
      await store.close();
      await harness.close();
    });
    const another = async (): Promise<Datastore> => {
      const handle = await harness.another();
      opened.push(handle);
      return handle;
    };

    describe("objects", () => {
      test("create returns what get and list then read", async () => {
        const created = await store.create("nodes", "a", bytes("one"));
        expect({ ...created, value: text(created.value) }).toEqual({
          name: "a",
          value: "one",
          revision: created.revision,
        });
        expect(await store.get("nodes", "a")).toEqual(created);
        expect((await store.list("nodes")).objects).toEqual([created]);
      });

      test("create of what exists is refused and changes nothing", async () => {
        const created = await store.create("nodes", "a", bytes("one"));
        await expectCode(store.create("nodes", "a", bytes("two")), "exists");
        expect(await store.get("nodes", "a")).toEqual(created);
      });

      test("get of what does not exist is undefined, and a list of nothing is empty", async () => {
        expect(await store.get("nodes", "a")).toBeUndefined();
        expect((await store.list("nodes")).objects).toEqual([]);
      });

      test("update swaps the value for a new revision", async () => {
        const first = await store.create("nodes", "a", bytes("one"));
        const second = await store.update("nodes", "a", bytes("two"), first.revision);
        expect(text(second.value)).toBe("two");
        expect(second.revision).not.toBe(first.revision);
        expect(await store.get("nodes", "a")).toEqual(second);
      });

      test("an update that changes nothing still is a new revision", async () => {
        const first = await store.create("nodes", "a", bytes("one"));
        const second = await store.update("nodes", "a", bytes("one"), first.revision);
        expect(second.revision).not.toBe(first.revision);
      });

      test("update from a stale revision is a conflict and changes nothing", async () => {
        const first = await store.create("nodes", "a", bytes("one"));
        const second = await store.update("nodes", "a", bytes("two"), first.revision);
        await expectCode(store.update("nodes", "a", bytes("three"), first.revision), "conflict");
        await expectCode(store.update("nodes", "a", bytes("three"), nobody), "conflict");
        expect(await store.get("nodes", "a")).toEqual(second);
      });

      test("update of what does not exist, or no longer does, is not-found", async () => {
        await expectCode(store.update("nodes", "a", bytes("x"), nobody), "not-found");
        const { revision } = await store.create("nodes", "a", bytes("one"));
        await store.delete("nodes", "a");
        await expectCode(store.update("nodes", "a", bytes("x"), revision), "not-found");
      });

      test("an object created again is another one: old revisions conflict", async () => {
        const first = await store.create("nodes", "a", bytes("one"));
        await store.delete("nodes", "a");
        const again = await store.create("nodes", "a", bytes("one"));
        expect(again.revision).not.toBe(first.revision);
        await expectCode(store.update("nodes", "a", bytes("x"), first.revision), "conflict");
        await expectCode(store.delete("nodes", "a", first.revision), "conflict");
      });

      test("delete removes, with a revision only that one, and of nothing is not-found", async () => {
        const first = await store.create("nodes", "a", bytes("one"));
        const second = await store.update("nodes", "a", bytes("two"), first.revision);
        await expectCode(store.delete("nodes", "a", first.revision), "conflict");
        expect(await store.get("nodes", "a")).toEqual(second);
        await store.delete("nodes", "a", second.revision);
        expect(await store.get("nodes", "a")).toBeUndefined();
        await expectCode(store.delete("nodes", "a"), "not-found");
        await expectCode(store.delete("nodes", "a", second.revision), "not-found");
      });

      test("reads and writes of one handle, asked for at any moment, do not disturb each other", async () => {
        const later = async (turns: number) => {
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
        };
        const reads = async (turns: number) => {
          await later(turns);
          await store.list("nodes");
          await Bun.sleep(0);
          await store.get("nodes", "n0");
        };
        const writes = async (name: string) => {
          const { revision } = await store.create("nodes", name, bytes(name));
          await store.update("nodes", name, bytes("x"), revision);
        };
        await Promise.all([
          ...Array.from({ length: 30 }, (_, index) => reads(index)),
          ...Array.from({ length: 30 }, (_, index) => later(index).then(() => writes(`n${index}`))),
        ]);
        expect((await store.list("nodes")).objects.map((object) => text(object.value)).join("")).toBe("x".repeat(30));
      });

      test("errors name the operation and the object", async () => {
        const error = await store.delete("nodes", "no-such").catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(TwillError);
        if (error instanceof TwillError) expect(error.describe()).toContain("delete nodes/no-such");
      });

      test("kinds are apart, also when one is the other's beginning", async () => {
        await store.create("node", "a", bytes("node"));
        await store.create("nodes", "a", bytes("nodes"));
        await store.delete("node", "a");
        expect((await store.list("node")).objects).toEqual([]);
        expect((await store.list("nodes")).objects.map((object) => text(object.value))).toEqual(["nodes"]);
      });

      test("a list is ordered by name", async () => {
        const names = ["b", "a.b", "a-b", "a", "10", "9", "ab"];
        for (const each of names) await store.create("nodes", each, bytes(each));
        const listed = (await store.list("nodes")).objects.map((object) => object.name);
        expect(listed).toEqual([...names].sort());
      });
    });

    describe("values and names", () => {
      test("values are bytes: empty, binary, not UTF-8", async () => {
        const all = Uint8Array.from({ length: 256 }, (_, index) => index);
        const values = {
          empty: new Uint8Array(0),
          all,
          zeros: new Uint8Array(9),
          utf8: bytes("ü→𝄞"),
          broken: all.slice(128),
        };
        for (const [each, value] of Object.entries(values)) await store.create("blobs", each, value);
        for (const [each, value] of Object.entries(values)) {
          expect((await store.get("blobs", each))?.value).toEqual(value);
        }
        expect((await store.list("blobs")).objects.map((object) => object.value.length)).toEqual([256, 128, 0, 9, 9]);
      });

      test("a value may be a view into a larger buffer, and the buffer may be used again at once", async () => {
        const buffer = Uint8Array.from([1, 2, 3, 4]);
        const writing = store.create("blobs", "view", buffer.subarray(1, 3));
        buffer.fill(9);
        const created = await writing;
        expect([...created.value]).toEqual([2, 3]);
        expect([...((await store.get("blobs", "view"))?.value ?? [])]).toEqual([2, 3]);
      });

      test("the largest value is kept, one byte more is refused", async () => {
        const largest = seededRandom(7).bytes(MAX_VALUE_BYTES);
        const { revision } = await store.create("blobs", "large", largest);
        expect(Bun.hash((await store.get("blobs", "large"))?.value ?? "")).toBe(Bun.hash(largest));
        const larger = new Uint8Array(MAX_VALUE_BYTES + 1);
        await expectCode(store.create("blobs", "larger", larger), "invalid");
        await expectCode(store.update("blobs", "large", larger, revision), "invalid");
      });

      test("odd names are kept as they are", async () => {
        const names = [
          "0",
          "10.244.1.0-24",
          "fd00-10-244-1---64",
          "a".repeat(MAX_NAME_LENGTH),
          "x--y",
          "a.b.c",
          "null",
        ];
        for (const each of names) await store.create("subnets", each, bytes(each));
        for (const each of names) expect((await store.get("subnets", each))?.name).toBe(each);
        const listed = (await store.list("subnets")).objects.map((object) => object.name);
        expect(listed).toEqual([...names].sort());
      });

      const wrong = [
        "",
        "A",
        "a/b",
        "a:b",
        "a b",
        "-a",
        "a-",
        "a..b",
        "a-.b",
        "a.-b",
        ".",
        "..",
        "a\0",
        "a\n",
        "ä",
        "a%",
        "a'b",
        "b".repeat(254),
      ];
      for (const each of wrong) {
        test(`the name ${JSON.stringify(each.slice(0, 20))} is refused everywhere`, async () => {
          await expectCode(store.create("nodes", each, bytes("x")), "invalid");
          await expectCode(store.update("nodes", each, bytes("x"), nobody), "invalid");
          await expectCode(store.get("nodes", each), "invalid");
          await expectCode(store.delete("nodes", each), "invalid");
        });
      }

      test("kinds are checked too", async () => {
        for (const each of ["", "Nodes", "a/b", "0", "no des", "nodes-", "n".repeat(64)]) {
          await expectCode(store.list(each), "invalid");
          await expectCode(store.create(each, "a", bytes("x")), "invalid");
          await expectCode(collect(store.watch(each, nobody), 1), "invalid");
        }
      });
    });

    describe("watch", () => {
      test("tells puts and deletes after the list, in order, with their values", async () => {
        await store.create("nodes", "before", bytes("x"));
        const { revision } = await store.list("nodes");
        const one = await store.create("nodes", "a", bytes("one"));
        const two = await store.update("nodes", "a", bytes("two"), one.revision);
        await store.create("config", "other", bytes("x"));
        await store.delete("nodes", "before");
        const events = await collect(store.watch("nodes", revision), 3);
        expect(events.slice(0, 2)).toEqual([
          { type: "put", object: one },
          { type: "put", object: two },
        ]);
        expect(events[2]).toMatchObject({ type: "delete", name: "before", expired: false });
      });

      test("tells what is written while it waits, by another handle", async () => {
        const { revision } = await store.list("nodes");
        const watching = collect(store.watch("nodes", revision), 2);
        const other = await another();
        const created = await other.create("nodes", "a", bytes("one"));
        await other.delete("nodes", "a", created.revision);
        expect((await watching).map(brief)).toEqual(["put a one", "delete a"]);
      });

      test("misses no state between, however fast they follow each other", async () => {
        let { revision } = await store.create("nodes", "a", bytes("0"));
        const watching = collect(store.watch("nodes", revision), 50);
        for (let round = 1; round <= 50; round++) {
          revision = (await store.update("nodes", "a", bytes(String(round)), revision)).revision;
        }
        expect((await watching).map(brief)).toEqual(Array.from({ length: 50 }, (_, index) => `put a ${index + 1}`));
      });

      test("goes on from the revision of any event, list, create or update", async () => {
        const { revision: start } = await store.list("nodes");
        const a = await store.create("nodes", "a", bytes("1"));
        const b = await store.create("nodes", "b", bytes("2"));
        const c = await store.update("nodes", "a", bytes("3"), a.revision);
        await store.delete("nodes", "b");
        const all = await collect(store.watch("nodes", start), 4);
        const expected = all.map(brief);
        expect(expected).toEqual(["put a 1", "put b 2", "put a 3", "delete b"]);
        for (const [index, revision] of [a.revision, b.revision, c.revision].entries()) {
          const rest = await collect(store.watch("nodes", revision), 3 - index);
          expect(rest.map(brief)).toEqual(expected.slice(index + 1));
        }
        const last = all[3];
        if (last?.type !== "delete") throw new Error("the last event is the deletion");
        await store.create("nodes", "z", bytes("9"));
        expect((await collect(store.watch("nodes", last.revision), 1)).map(brief)).toEqual(["put z 9"]);
      });

      test("ends without an error when its signal is aborted: before it began, while it waits, between events", async () => {
        const { revision } = await store.list("nodes");
        expect(await drain(store.watch("nodes", revision, { signal: AbortSignal.abort() }))).toEqual([]);

        const waiting = new AbortController();
        const ended = drain(store.watch("nodes", revision, { signal: waiting.signal }));
        await Bun.sleep(50);
        waiting.abort();
        expect(await ended).toEqual([]);

        await store.create("nodes", "a", bytes("1"));
        await store.create("nodes", "b", bytes("2"));
        const between = new AbortController();
        const seen: string[] = [];
        for await (const event of store.watch("nodes", revision, { signal: between.signal })) {
          seen.push(brief(event));
          between.abort();
        }
        expect(seen).toEqual(["put a 1"]);
      });

      test("many watchers of one store each see everything", async () => {
        const { revision } = await store.list("nodes");
        const watching = Array.from({ length: 40 }, () => collect(store.watch("nodes", revision), 20));
        for (let index = 0; index < 20; index++) await store.create("nodes", `n${index}`, bytes("x"));
        for (const events of await Promise.all(watching)) {
          expect(events.map(brief)).toEqual(Array.from({ length: 20 }, (_, index) => `put n${index} x`));
        }
      });

      test("thousands of objects are written, listed and watched", async () => {
        const { revision } = await store.list("nodes");
        const names = Array.from({ length: 3000 }, (_, index) => `n${String(index).padStart(4, "0")}`);
        const watching = collect(store.watch("nodes", revision), names.length);
        await Promise.all(names.map((each) => store.create("nodes", each, bytes(each))));
        expect((await store.list("nodes")).objects.map((object) => text(object.value))).toEqual(names);
        expect(new Set((await watching).map(brief)).size).toBe(names.length);
      });
    });

    describe("several processes", () => {
      test("of those that create one name at once exactly one wins", async () => {
        const names = Array.from({ length: 40 }, (_, index) => `s${index}`);
        const workers = await Promise.all(
          ["w0", "w1", "w2", "w3"].map((owner) => spawnWorker(harness.url, "claim", { kind: "subnets", names, owner })),
        );
        for (const worker of workers) worker.go();
        const won = await Promise.all(workers.map((worker) => worker.done()));
        expect(won.flat().sort()).toEqual([...names].sort());
        for (const object of (await store.list("subnets")).objects) {
          expect(won[Number(text(object.value).slice(1))]).toContain(object.name);
        }
      });

      test("no compare-and-swap is lost", async () => {
        await store.create("counters", "c", bytes("0"));
        const workers = await Promise.all(
          [1, 2, 3].map(() => spawnWorker(harness.url, "count", { kind: "counters", name: "c", times: 60 })),
        );
        for (const worker of workers) worker.go();
        for (const worker of workers) await worker.done();
        expect(text((await store.get("counters", "c"))?.value ?? bytes(""))).toBe("180");
      });

      test("list and watch neither miss nor repeat a change while they write", async () => {
        const workers = await Promise.all(
          ["p0", "p1", "p2"].map((prefix) =>
            spawnWorker(harness.url, "churn", { kind: "nodes", prefix, count: 60, rounds: 4 }),
          ),
        );
        const start = await store.list("nodes");
        for (const worker of workers) worker.go();
        // Watchers that begin at any moment, on two handles, until they see the last write.
        const handles = [store, await another()];
        const watching: Promise<History>[] = [follow(store, start)];
        for (let late = 0; late < 8; late++) {
          await Bun.sleep(15);
          const handle = handles[late % 2] ?? store;
          watching.push(follow(handle, await handle.list("nodes")));
        }
        for (const worker of workers) await worker.done();
        await store.create("nodes", "the-end", bytes("the-end 0"));
        const histories = await Promise.all(watching);
        const full = histories[0];
        if (full === undefined) throw new Error("there is a first watcher");

        expect(full.events.length).toBe(3 * (60 * 5 + 30) + 1);
        expect(outOfOrder(full.events)).toEqual([]);
        const final = (await store.list("nodes")).objects.map((object) => text(object.value));
        for (const history of histories) {
          // Each saw exactly the rest of what the first one saw, and arrives at what is stored now.
          expect(full.events.slice(full.events.length - history.events.length)).toEqual([...history.events]);
          expect([...history.state.values()].sort()).toEqual([...final].sort());
        }
      });
    });

    describe("closing", () => {
      test("ends watches without an error; whatever comes after is unavailable; twice is once", async () => {
        const handle = await harness.another();
        const { revision } = await handle.list("nodes");
        const watching = [drain(handle.watch("nodes", revision)), drain(handle.watch("config", revision))];
        await Bun.sleep(20);
        const written = handle.create("nodes", "last", bytes("x"));
        await handle.close();
        await handle.close();
        await written;
        expect((await Promise.all(watching)).flat().length).toBeLessThanOrEqual(1);
        await expectCode(handle.list("nodes"), "unavailable");
        await expectCode(handle.get("nodes", "a"), "unavailable");
        await expectCode(handle.create("nodes", "b", bytes("x")), "unavailable");
        expect(await drain(handle.watch("nodes", revision))).toEqual([]);
        expect((await store.get("nodes", "last"))?.name).toBe("last");
      });
    });

    describe("history", () => {
      test("a watch from a revision that is forgotten is told to list again, and that is its last event", async () => {
        const { revision } = await store.list("nodes");
        for (let index = 0; index < 10; index++) await store.create("nodes", `n${index}`, bytes("x"));
        if (!store.capabilities.compaction || harness.compact === undefined) {
          expect(await collect(store.watch("nodes", revision), 10)).toHaveLength(10);
          return;
        }
        await harness.compact();
        expect((await drain(store.watch("nodes", revision))).map(brief)).toEqual(["relist"]);
        const listed = await store.list("nodes");
        await store.create("nodes", "after", bytes("x"));
        expect((await collect(store.watch("nodes", listed.revision), 1)).map(brief)).toEqual(["put after x"]);
      });

      test("a watcher that falls behind sees all up to a point, then is told to list again", async () => {
        if (!store.capabilities.compaction || harness.compact === undefined) return;
        const { revision } = await store.list("nodes");
        for (let index = 0; index < 500; index++) await store.create("nodes", `n${index}`, bytes("x"));
        const seen: string[] = [];
        for await (const event of store.watch("nodes", revision)) {
          if (event.type === "bookmark") continue;
          if (seen.push(brief(event)) === 1) await harness.compact();
          if (harness.sendsAhead && seen.length === 500) break;
        }
        if (harness.sendsAhead && seen.length === 500) seen.push("relist");
        expect(seen.at(-1)).toBe("relist");
        expect(seen.slice(0, -1)).toEqual(Array.from({ length: seen.length - 1 }, (_, index) => `put n${index} x`));
        if (!harness.sendsAhead) expect(seen.length).toBeLessThan(500);
      });

      test("a watch from a revision that never was is told to list again", async () => {
        await store.create("nodes", "a", bytes("x"));
        if (store.capabilities.compaction) {
          expect((await drain(store.watch("nodes", nobody))).map(brief)).toEqual(["relist"]);
        }
      });
    });

    describe("time to live", () => {
      test("an object that nobody renews goes, with one event, marked as expired", async () => {
        if (!store.capabilities.ttl) {
          await expectCode(store.create("leases", "a", bytes("x"), { ttlSeconds: 1 }), "unsupported");
          await expectCode(store.renew("leases", "a", 1), "unsupported");
          return;
        }
        const other = await another();
        const { revision } = await store.list("leases");
        const before = Date.now();
        const created = await store.create("leases", "a", bytes("x"), { ttlSeconds: 1 });
        expect(created.expiresAt ?? 0).toBeGreaterThanOrEqual(before);
        expect(created.expiresAt ?? 0).toBeLessThan(before + 60_000);
        const watching = [collect(store.watch("leases", revision), 2), collect(other.watch("leases", revision), 2)];
        for (const events of await Promise.all(watching)) {
          expect(events.map(brief)).toEqual(["put a x", "expire a"]);
        }
        expect(await store.get("leases", "a")).toBeUndefined();
        await expectCode(store.renew("leases", "a", 1), "not-found");
        const again = await store.create("leases", "a", bytes("y"));
        expect(again.expiresAt).toBeUndefined();
        expect((await collect(store.watch("leases", revision), 3)).map(brief)).toEqual([
          "put a x",
          "expire a",
          "put a y",
        ]);
      });

      test("renew gives time without a change; an update without a time to live makes it stay", async () => {
        if (!store.capabilities.ttl) return;
        const { revision } = await store.list("leases");
        const renewed = await store.create("leases", "renewed", bytes("x"), { ttlSeconds: 4 });
        const kept = await store.create("leases", "kept", bytes("x"), { ttlSeconds: 4 });
        await store.create("leases", "witness", bytes("x"), { ttlSeconds: 4 });
        await store.renew("leases", "renewed", 3600);
        const updated = await store.update("leases", "kept", bytes("y"), kept.revision);
        expect(updated.expiresAt).toBeUndefined();
        const events = await collect(store.watch("leases", revision), 5);
        expect(events.map(brief)).toEqual([
          "put renewed x",
          "put kept x",
          "put witness x",
          "put kept y",
          "expire witness",
        ]);
        const after = await store.get("leases", "renewed");
        expect(after?.revision).toBe(renewed.revision);
        expect(after?.expiresAt ?? 0).toBeGreaterThan(Date.now() + 1_800_000);
        expect((await store.list("leases")).objects.map((object) => object.name)).toEqual(["kept", "renewed"]);
      });

      test("an object that was given a time to live by a process that is gone still goes", async () => {
        if (!store.capabilities.ttl) return;
        const { revision } = await store.list("leases");
        const worker = await spawnWorker(harness.url, "linger", { kind: "leases", name: "orphan", ttlSeconds: 1 });
        worker.go();
        await worker.until(1);
        worker.kill();
        await worker.ended;
        expect((await collect(store.watch("leases", revision), 2)).map(brief)).toEqual([
          "put orphan orphan",
          "expire orphan",
        ]);
      });

      test("a time to live that is none is refused", async () => {
        for (const ttlSeconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e12]) {
          await expectCode(store.create("leases", "a", bytes("x"), { ttlSeconds }), "invalid");
          if (store.capabilities.ttl) await expectCode(store.renew("leases", "a", ttlSeconds), "invalid");
        }
      });
    });
  });
}

async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  const outcome = await promise.then(
    () => "no error",
    (error: unknown) => (error instanceof TwillError ? error.code : error),
  );
  expect(outcome).toBe(code);
}

function brief(event: WatchEvent): string {
  if (event.type === "put") return `put ${event.object.name} ${text(event.object.value)}`;
  if (event.type === "delete") return `${event.expired ? "expire" : "delete"} ${event.name}`;
  return event.type;
}

/** The first events that are not bookmarks, which an engine may send at any time. */
async function collect(watch: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watch) {
    if (event.type !== "bookmark") events.push(event);
    if (events.length === count) break;
  }
  return events;
}

const drain = (watch: AsyncIterable<WatchEvent>) => collect(watch, Number.POSITIVE_INFINITY);

interface History {
  readonly events: readonly string[];
  /** The list, with the events applied: name to value. */
  readonly state: ReadonlyMap<string, string>;
}

/** Watches from a list until the object "the-end" is put. */
async function follow(store: Datastore, from: Listing): Promise<History> {
  const state = new Map(from.objects.map((object: StoredObject) => [object.name, text(object.value)]));
  const events: string[] = [];
  for await (const event of store.watch("nodes", from.revision)) {
    if (event.type === "bookmark") continue;
    events.push(brief(event));
    if (event.type === "put") state.set(event.object.name, text(event.object.value));
    if (event.type === "delete") state.delete(event.name);
    if (event.type === "put" && event.object.name === "the-end") break;
  }
  return { events, state };
}

/** Events of an object that do not follow its one before ("put NAME NAME ROUND"). */
function outOfOrder(events: readonly string[]): string[] {
  const rounds = new Map<string, number>();
  return events.filter((event) => {
    const [type, name = "", , round] = event.split(" ");
    const last = rounds.get(name);
    rounds.set(name, type === "put" ? Number(round) : -1);
    return type === "put" ? Number(round) !== (last ?? -1) + 1 : last === undefined || last < 0;
  });
}
