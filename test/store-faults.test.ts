import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { TwillError } from "../src/base/errors.ts";
import { seededRandom } from "../src/base/random.ts";
import type { WatchEvent } from "../src/store/datastore.ts";
import { EmbeddedDatastore, type EmbeddedOptions } from "../src/store/embedded/embedded.ts";
import { spawnWorker } from "../src/store/spawn-worker.fixture.ts";

let directory: string;
let path: string;
const opened: EmbeddedDatastore[] = [];

beforeEach(() => {
  directory = mkdtempSync("/tmp/twill-faults-");
  path = join(directory, "store.db");
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  rmSync(directory, { recursive: true });
});

async function open(options: EmbeddedOptions = {}): Promise<EmbeddedDatastore> {
  const store = await EmbeddedDatastore.open(path, options);
  opened.push(store);
  return store;
}

async function take(watch: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watch) if (events.push(event) === count) break;
  return events;
}

async function failure(work: Promise<unknown>): Promise<TwillError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TwillError) return error;
  throw new Error(`a TwillError was expected, not ${error}`);
}

function integrity(): unknown {
  const database = new Database(path, { readwrite: true, create: false });
  try {
    return database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get()?.integrity_check;
  } finally {
    database.close();
  }
}

describe("kill -9", () => {
  test("of writers at any moment: the file is whole, and what was acknowledged is there", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const acknowledged: string[] = [];
    for (let round = 0; round < 6; round++) {
      const workers = await Promise.all(
        [10, 2_000, 60_000].map((bytes, index) =>
          spawnWorker(`embedded:${path}`, "forever", { kind: "nodes", prefix: `r${round}w${index}`, bytes }),
        ),
      );
      for (const worker of workers) worker.go();
      for (const worker of workers) {
        await worker.until(1);
        await Bun.sleep(random.below(40));
        worker.kill();
      }
      for (const worker of workers) await worker.ended;
      expect([seed, integrity()]).toEqual([seed, "ok"]);
      for (const worker of workers) acknowledged.push(...worker.lines);
    }
    const store = await open();
    const stored = new Map((await store.list("nodes")).objects.map((object) => [object.name, object.value]));
    expect([seed, acknowledged.filter((name) => !stored.has(name))]).toEqual([seed, []]);
    for (const [name, value] of stored) {
      const index = Number(name.split("-")[1]) & 0xff;
      if (!value.every((byte) => byte === index)) throw new Error(`seed ${seed}: ${name} has another value`);
    }
    // At most one write of each of the 18 was on its way.
    expect(stored.size - acknowledged.length).toBeLessThanOrEqual(18);
    await store.create("nodes", "after", new Uint8Array(1));
  });

  test("while the file is made: the next one opens it, or makes it", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const script = join(import.meta.dir, "../src/store/worker.fixture.ts");
    for (let round = 0; round < 12; round++) {
      const child = Bun.spawn([process.execPath, script, `embedded:${path}`, "claim", "{}"], { stdout: "ignore" });
      const deadline = performance.now() + 10_000;
      while (readdirSync(directory).length === 0 && performance.now() < deadline) await Bun.sleep(0);
      await Bun.sleep(random.below(4));
      child.kill("SIGKILL");
      await child.exited;
      const store = await EmbeddedDatastore.open(path);
      await store.create("nodes", "a", new Uint8Array(1));
      await store.close();
      expect([seed, integrity()]).toEqual([seed, "ok"]);
      for (const name of readdirSync(directory)) rmSync(join(directory, name));
    }
  });
});

test("a full disk: nothing that was acknowledged is lost, errors say what to do, reads go on, freed space is enough", async () => {
  const mountPoint = join(directory, "small");
  mkdirSync(mountPoint);
  const child = Bun.spawn(
    [
      ...["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m twill-test "$0" && exec "$@"', mountPoint],
      ...[process.execPath, join(import.meta.dir, "store-full-disk.fixture.ts"), mountPoint],
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [output, complaint] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect([await child.exited, complaint]).toEqual([0, ""]);
  const result = JSON.parse(output);
  const file = join(mountPoint, "store.db");
  const full = {
    code: "io",
    errno: 28,
    text: `write ${file}: no space is left on its file system; nothing was written, what was stored is kept (free space in ${mountPoint} (df ${mountPoint}); no restart is needed)`,
  };
  expect(result.batch).toEqual([full, "done"]);
  expect(result.failure).toEqual(full);
  expect(result.acknowledged).toBeGreaterThan(10);
  expect(result.whileFull).toEqual({
    intact: true,
    intactElsewhere: true,
    watched: result.acknowledged - 1,
    fails: full,
    newHandleReads: true,
  });
  expect(result.afterwards).toEqual({ create: "done", intact: true });
  expect(result.integrity).toEqual({ integrity_check: "ok" });
});

describe("a file that another process keeps locked", () => {
  const holders: Bun.Subprocess[] = [];
  afterEach(() => {
    for (const holder of holders.splice(0)) holder.kill("SIGKILL");
  });

  async function lockIt() {
    const script = `
      const { Database } = await import("bun:sqlite");
      globalThis.database = new Database(${JSON.stringify(path)}, { readwrite: true, create: false });
      database.run("BEGIN IMMEDIATE");
      console.log("locked");
      setInterval(() => {}, 1000);`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    holders.push(child);
    await child.stdout.getReader().read();
    return child;
  }

  test("is unavailable for writing after the timeout, with the one who holds it; reads go on; nothing is lost", async () => {
    const store = await open({ lockTimeout: 200 });
    const created = await store.create("nodes", "a", new Uint8Array(1));
    const holder = await lockIt();
    const error = await failure(store.create("nodes", "b", new Uint8Array(1)));
    expect(error.code).toBe("unavailable");
    expect(error.describe()).toContain(`write ${path}: has been locked by process ${holder.pid} (`);
    expect(error.describe()).toContain(" -e const { Database }");
    expect(error.remedy).toContain("end that process");
    expect(await store.get("nodes", "a")).toEqual(created);
    expect((await (await open()).list("nodes")).objects).toEqual([created]);
    holder.kill("SIGKILL");
    await holder.exited;
    await store.create("nodes", "b", new Uint8Array(1));
    expect((await store.list("nodes")).objects.map((object) => object.name)).toEqual(["a", "b"]);
  });

  test("is waited for within the timeout, without blocking the process", async () => {
    const store = await open({ lockTimeout: 30_000 });
    const holder = await lockIt();
    const writing = store.create("nodes", "a", new Uint8Array(1));
    let turns = 0;
    for (; turns < 20; turns++) await Bun.sleep(5);
    expect(await store.get("nodes", "a")).toBeUndefined();
    holder.kill("SIGKILL");
    expect((await writing).name).toBe("a");
    expect(turns).toBe(20);
  });
});

describe("clocks that jump", () => {
  const day = 86_400_000;

  /** A machine whose clocks the test moves; every look at the file is 10 ms apart in real time. */
  function machine() {
    const state = { wall: Date.UTC(2026, 0, 1), boot: 1_000_000, id: "boot-1" };
    const options: EmbeddedOptions = {
      clock: { ...systemClock, now: () => state.wall },
      bootClock: () => ({ id: state.id, milliseconds: state.boot }),
      safetyInterval: 10,
      history: { age: 365 * day },
    };
    return { state, options };
  }

  test("expire nothing: the wall clock set forth or back, a reboot, a night asleep", async () => {
    const { state, options } = machine();
    const store = await open(options);
    const other = await open(options);
    const { revision } = await store.list("leases");
    await store.create("leases", "a", new Uint8Array(1), { ttlSeconds: 3600 });
    const present = async () => {
      await Bun.sleep(60);
      await other.create("config", `c${state.wall}-${state.boot}`, new Uint8Array(1)); // a write would expire it, too
      return (await other.get("leases", "a")) !== undefined;
    };
    state.wall += 2 * day;
    expect(await present()).toBe(true);
    state.wall -= 30 * day;
    expect(await present()).toBe(true);
    state.boot += day; // asleep: CLOCK_BOOTTIME counts it, nobody could renew
    expect(await present()).toBe(true);
    state.id = "boot-2";
    state.boot = 5000;
    expect(await present()).toBe(true);

    // Time that passes in front of somebody's eyes counts.
    for (let step = 0; step < 130; step++) {
      state.boot += 30_000;
      await Bun.sleep(12);
    }
    const events = await take(other.watch("leases", revision), 2);
    expect(events[1]).toMatchObject({ type: "delete", name: "a", expired: true });
    expect(await store.get("leases", "a")).toBeUndefined();
  });

  test("what is left of a lease is told in the wall clock of the moment", async () => {
    const { state, options } = machine();
    const store = await open(options);
    await store.create("leases", "a", new Uint8Array(1), { ttlSeconds: 3600 });
    state.boot += 20_000;
    state.wall += day;
    expect((await store.get("leases", "a"))?.expiresAt).toBe(state.wall + 3_580_000);
  });
});

test("of many processes that could expire an object one does: each goes with one event", async () => {
  const store = await open();
  const { revision } = await store.list("leases");
  const workers = await Promise.all(
    [1, 2, 3].map((index) =>
      spawnWorker(`embedded:${path}`, "linger", { kind: "others", name: `w${index}`, ttlSeconds: 3600 }),
    ),
  );
  for (const worker of workers) worker.go();
  for (const worker of workers) await worker.until(1);
  const names = Array.from({ length: 30 }, (_, index) => `l${index}`);
  await Promise.all(names.map((name) => store.create("leases", name, new Uint8Array(1), { ttlSeconds: 0.5 })));
  await take(store.watch("leases", revision), 60);
  await Bun.sleep(300);
  await store.create("leases", "end", new Uint8Array(1));
  const events = await take(store.watch("leases", revision), 61);
  const gone = events.filter((event) => event.type === "delete").map((event) => event.name);
  expect(gone.sort()).toEqual([...names].sort());
  expect(events.at(-1)).toMatchObject({ type: "put", object: { name: "end" } });
  for (const worker of workers) worker.kill();
  for (const worker of workers) await worker.ended;
});
