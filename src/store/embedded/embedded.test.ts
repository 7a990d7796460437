import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../base/errors.ts";
import type { Revision, WatchEvent } from "../datastore.ts";
import { openDatastore } from "../open.ts";
import { spawnWorker } from "../spawn-worker.fixture.ts";
import { watchedBells } from "./bell.ts";
import { EmbeddedDatastore, type EmbeddedOptions } from "./embedded.ts";
import { SCHEMA_VERSION } from "./schema.ts";
import { writeVersion1 } from "./schema-1.fixture.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

let directory: string;
let path: string;
const opened: EmbeddedDatastore[] = [];

beforeEach(() => {
  directory = mkdtempSync("/tmp/twill-embedded-");
  path = join(directory, "store.db");
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  expect(watchedBells()).toBe(0);
  rmSync(directory, { recursive: true });
});

async function open(options: EmbeddedOptions = {}, at = path): Promise<EmbeddedDatastore> {
  const store = await EmbeddedDatastore.open(at, options);
  opened.push(store);
  return store;
}

async function failure(work: Promise<unknown>): Promise<TwillError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TwillError) return error;
  throw new Error(`a TwillError was expected, not ${error}`);
}

async function first(watch: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watch) if (events.push(event) === count) break;
  return events;
}

/** Names in the directory that SQLite or we made. */
const files = () => readdirSync(directory).sort();

describe("the file", () => {
  test("is made with its directory, both for their owner only", async () => {
    const at = join(directory, "new", "store.db");
    const store = await open({}, at);
    await store.create("nodes", "a", bytes("x"));
    expect(statSync(join(directory, "new")).mode & 0o777).toBe(0o700);
    for (const suffix of ["", "-wal", "-shm", "-bell"]) expect(statSync(at + suffix).mode & 0o777).toBe(0o600);
  });

  test("is not made below a directory that does not exist", async () => {
    const error = await failure(open({}, join(directory, "a", "b", "store.db")));
    expect(error.code).toBe("io");
    expect(error.describe()).toBe(
      `make directory ${directory}/a/b: ${directory}/a does not exist (mkdir -p ${directory}/a/b, or correct the path)`,
    );
    expect(files()).toEqual([]);
  });

  test("that others could read is closed to them", async () => {
    await (await open()).close();
    chmodSync(path, 0o644);
    await open();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("leaves nothing beside it but the bell after the last close", async () => {
    const store = await open();
    const other = await open();
    await store.create("nodes", "a", bytes("x"));
    await store.close();
    await other.close();
    expect(files()).toEqual(["store.db", "store.db-bell"]);
  });

  test("is one file under two names: symbolic links are followed", async () => {
    const store = await open();
    symlinkSync(path, join(directory, "link.db"));
    const linked = await open({}, join(directory, "link.db"));
    const watching = first(linked.watch("nodes", (await linked.list("nodes")).revision), 1);
    await store.create("nodes", "a", bytes("x"));
    expect((await watching)[0]).toMatchObject({ type: "put", object: { name: "a" } });
    expect(files().filter((name) => name.startsWith("link"))).toEqual(["link.db"]);
  });

  test("made by several handles at once is one file", async () => {
    const stores = await Promise.all(Array.from({ length: 6 }, () => open()));
    const revisions = await Promise.all(stores.map(async (store) => (await store.list("nodes")).revision));
    expect(new Set(revisions).size).toBe(1);
    expect(files().filter((name) => name.includes("-new-"))).toEqual([]);
  });
});

describe("a file that is not one of ours is refused and left as it is:", () => {
  const cases: Record<string, [content: string | Uint8Array, code: string, says: string]> = {
    prose: ["this is not a database, but long enough to be read as a header ".repeat(40), "corrupt", "is damaged"],
    empty: ["", "corrupt", "is empty"],
    zeros: [new Uint8Array(8192), "corrupt", "is damaged"],
  };
  for (const [name, [content, code, says]] of Object.entries(cases)) {
    test(name, async () => {
      writeFileSync(path, content);
      const error = await failure(open());
      expect([error.code, error.object]).toEqual([code, path]);
      expect(error.describe()).toContain(says);
      expect(error.remedy).toContain("backup");
      expect(readFileSync(path)).toEqual(Buffer.from(content));
    });
  }

  test("another program's database", async () => {
    const database = new Database(path);
    database.run("CREATE TABLE t (a)");
    database.close();
    const before = readFileSync(path);
    const error = await failure(open());
    expect(error.describe()).toContain("not a Twill datastore");
    expect(readFileSync(path)).toEqual(before);
  });

  test("a directory", async () => {
    mkdirSync(path);
    expect((await failure(open())).describe()).toContain("is not a regular file");
  });

  test("a log without its database", async () => {
    const store = await open();
    await store.create("nodes", "a", bytes("x"));
    rmSync(path);
    const error = await failure(open());
    expect(error.describe()).toContain(`its log ${path}-wal is there`);
    expect(existsSync(path)).toBe(false);
  });

  test("pages overwritten in the middle: what is read of them is an error, and nothing is made anew", async () => {
    const store = await open();
    for (let index = 0; index < 200; index++) await store.create("nodes", `n${index}`, new Uint8Array(3000).fill(7));
    await store.close();
    const content = readFileSync(path);
    content.fill(0xa5, 4096 * 2, 4096 * 40);
    writeFileSync(path, content);
    const damaged = await open({ safetyInterval: 600_000 });
    const error = await failure(damaged.list("nodes"));
    expect([error.code, error.object]).toEqual(["corrupt", path]);
    expect(error.remedy).toContain("backup");
  });
});

describe("the layout's version", () => {
  test("a later one is refused and the file not touched", async () => {
    await (await open()).close();
    const database = new Database(path);
    database.run(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    database.close();
    const before = readFileSync(path);
    const error = await failure(open());
    expect(error.code).toBe("unsupported");
    expect(error.describe()).toContain(
      `has layout version ${SCHEMA_VERSION + 1}; this Twill reads 1 to ${SCHEMA_VERSION}`,
    );
    expect(readFileSync(path)).toEqual(before);
  });

  test("what version 1 wrote is read: objects, revisions, history, and the time its leases had left", async () => {
    writeVersion1(path, Date.now() + 600_000);
    const store = await open();
    const listing = await store.list("nodes");
    expect(listing.objects.map((object) => [object.name, text(object.value)])).toEqual([
      ["kept", "kept"],
      ["leased", "leased"],
    ]);
    expect(listing.objects.map((object) => String(object.revision))).toEqual([
      "00112233aabbccdd.1",
      "00112233aabbccdd.3",
    ]);
    const left = (listing.objects[1]?.expiresAt ?? 0) - Date.now();
    expect(left).toBeGreaterThan(500_000);
    expect(left).toBeLessThanOrEqual(600_000);
    const history = await first(store.watch("nodes", "00112233aabbccdd.1" as Revision), 2);
    expect(history.map((event) => event.type === "put" && text(event.object.value))).toEqual(["0", "leased"]);
    const updated = await store.update("nodes", "kept", bytes("new"), "00112233aabbccdd.1" as Revision);
    expect(String(updated.revision)).toBe("00112233aabbccdd.4");
  });

  test("a lease of version 1 that had run out expires", async () => {
    writeVersion1(path, Date.now() - 1000);
    const store = await open();
    const events = await first(store.watch("nodes", "00112233aabbccdd.3" as Revision), 1);
    expect(events[0]).toMatchObject({ type: "delete", name: "leased", expired: true });
  });

  test("version 1 opened by several processes at once is migrated once", async () => {
    writeVersion1(path, Date.now() + 600_000);
    const names = ["x"];
    const workers = await Promise.all(
      [1, 2, 3].map((owner) => spawnWorker(`embedded:${path}`, "claim", { kind: "nodes", names, owner: `w${owner}` })),
    );
    for (const worker of workers) worker.go();
    expect((await Promise.all(workers.map((worker) => worker.done()))).flat()).toEqual(["x"]);
  });

  test("a file that a later Twill migrates while it is open is written no more", async () => {
    const store = await open({ safetyInterval: 600_000 });
    await store.create("nodes", "a", bytes("x"));
    const later = new Database(path);
    later.run(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    later.close();
    expect((await failure(store.create("nodes", "b", bytes("x")))).code).toBe("unsupported");
    expect((await failure(store.list("nodes"))).code).toBe("unsupported");
  });
});

describe("a file that is replaced while open", () => {
  test("by a restored backup: it is opened, and watchers list again", async () => {
    const store = await open({ safetyInterval: 50 });
    await store.create("nodes", "a", bytes("x"));
    await store.close();
    copyFileSync(path, join(directory, "backup"));
    const running = await open({ safetyInterval: 50 });
    await running.create("nodes", "b", bytes("x"));
    const watching = first(running.watch("nodes", (await running.list("nodes")).revision), 1);
    for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix);
    renameSync(join(directory, "backup"), path);
    expect((await watching)[0]).toMatchObject({ type: "relist" });
    expect((await running.list("nodes")).objects.map((object) => object.name)).toEqual(["a"]);
    await running.create("nodes", "c", bytes("x"));
  });

  test("by nothing: it is unavailable until it is back, and is not made anew", async () => {
    const store = await open({ safetyInterval: 50 });
    const created = await store.create("nodes", "a", bytes("x"));
    renameSync(path, join(directory, "away"));
    const error = await failure(store.create("nodes", "b", bytes("x")));
    expect([error.code, error.message]).toEqual(["unavailable", "was removed while in use"]);
    expect((await failure(store.list("nodes"))).code).toBe("unavailable");
    expect(existsSync(path)).toBe(false);
    renameSync(join(directory, "away"), path);
    expect(await store.get("nodes", "a")).toEqual(created);
  });
});

describe("change notices", () => {
  // With a safety look every ten minutes, whatever arrives in a test's time came by the bell.
  const deafWithoutBell = { safetyInterval: 600_000 };

  test("come from another process", async () => {
    const store = await open(deafWithoutBell);
    const { revision } = await store.list("nodes");
    const worker = await spawnWorker(`embedded:${path}`, "claim", { kind: "nodes", names: ["a"], owner: "w" });
    const watching = first(store.watch("nodes", revision), 1);
    await Bun.sleep(50);
    worker.go();
    expect((await watching)[0]).toMatchObject({ type: "put", object: { name: "a" } });
    await worker.done();
  });

  test("come from other network, mount and PID namespaces", async () => {
    const store = await open(deafWithoutBell);
    const { revision } = await store.list("nodes");
    const options = { kind: "nodes", names: ["a"], owner: "w" };
    const wrapper = ["unshare", "--net", "--mount", "--pid", "--fork", "--ipc"];
    const worker = await spawnWorker(`embedded:${path}`, "claim", options, wrapper);
    const watching = first(store.watch("nodes", revision), 1);
    await Bun.sleep(50);
    worker.go();
    expect((await watching)[0]).toMatchObject({ type: "put", object: { name: "a" } });
    await worker.done();
  });

  test("that are lost are made up for, also when the bell itself is gone", async () => {
    const store = await open({ safetyInterval: 50 });
    const { revision } = await store.list("nodes");
    const watching = first(store.watch("nodes", revision), 3);
    await store.create("nodes", "a", bytes("x"));
    rmSync(`${path}-bell`);
    await store.create("nodes", "b", bytes("x"));
    await Bun.sleep(200);
    await store.create("nodes", "c", bytes("x"));
    expect((await watching).map((event) => event.type === "put" && event.object.name)).toEqual(["a", "b", "c"]);
    expect(statSync(`${path}-bell`).mode & 0o777).toBe(0o600);
  });

  test("are watched for once a process, however many handles and watchers there are", async () => {
    const stores = [await open(), await open(), await open()];
    expect(watchedBells()).toBe(1);
    for (const store of stores.slice(0, 2)) await store.close();
    expect(watchedBells()).toBe(1);
  });
});

describe("the history", () => {
  test("is kept within the number of events", async () => {
    const store = await open({ history: { events: 100 } });
    const start = (await store.list("nodes")).revision;
    let { revision } = await store.create("nodes", "a", bytes("0"));
    for (let round = 1; round <= 1100; round++) {
      revision = (await store.update("nodes", "a", bytes(String(round)), revision)).revision;
    }
    expect(await first(store.watch("nodes", start), 1)).toMatchObject([{ type: "relist" }]);
    const rows = new Database(path, { readonly: true })
      .query<{ n: number }, []>("SELECT count(*) AS n FROM history")
      .get();
    expect(rows?.n).toBeLessThan(100 + 513);
  });

  test("is kept within the bytes of its values", async () => {
    const store = await open({ history: { bytes: 10_000 } });
    const start = (await store.list("nodes")).revision;
    const middle: Revision[] = [];
    for (let index = 0; index < 20; index++) {
      middle.push((await store.create("nodes", `n${index}`, new Uint8Array(1000))).revision);
    }
    await store.compact();
    expect(await first(store.watch("nodes", start), 1)).toMatchObject([{ type: "relist" }]);
    expect(await first(store.watch("nodes", middle[9] ?? start), 10)).toHaveLength(10);
  });

  test("is forgotten when it is old, also when nobody writes", async () => {
    let now = 1000;
    const store = await open({
      history: { age: 60_000 },
      safetyInterval: 20,
      bootClock: () => ({ id: "boot", milliseconds: now }),
    });
    const start = (await store.list("nodes")).revision;
    const { revision } = await store.create("nodes", "a", bytes("x"));
    for (let step = 0; step < 4; step++) {
      now += 30_000;
      await store.create("config", `c${step}`, bytes("x"));
    }
    await Bun.sleep(100);
    expect(await first(store.watch("nodes", start), 1)).toMatchObject([{ type: "relist" }]);
    expect(await first(store.watch("config", revision), 1)).toMatchObject([{ type: "relist" }]);
  });

  test("does not outrun the watcher of a quiet kind: it is told where it stands", async () => {
    const store = await open({ history: { events: 600 } });
    const watching = first(store.watch("config", (await store.list("config")).revision), 2);
    for (let index = 0; index < 2300; index++) await store.create("nodes", `n${index}`, bytes("x"));
    const [one, two] = await watching;
    expect([one?.type, two?.type]).toEqual(["bookmark", "bookmark"]);
    if (two?.type !== "bookmark") throw new Error("a bookmark was expected");
    await store.create("config", "late", bytes("x"));
    const resumed = await first(store.watch("config", two.revision), 1);
    expect(resumed[0]).toMatchObject({ type: "put", object: { name: "late" } });
  });
});

describe("by URL", () => {
  test("embedded needs an absolute path; an engine that is still to come says so", async () => {
    for (const url of ["etcd:https://10.0.0.1:2379", "etcd"]) {
      const error = await failure(openDatastore(url));
      expect([error.code, error.message]).toEqual(["unsupported", "the etcd datastore comes in a later version"]);
    }
    for (const url of [
      "",
      "/var/lib/x.db",
      "embedded:",
      "embedded:x.db",
      "embedded:/",
      "sqlite:/x.db",
      "toString:/x",
    ]) {
      expect([url, (await failure(openDatastore(url))).code]).toEqual([url, "invalid"]);
    }
    const store = await openDatastore(`embedded:${path}`);
    await store.close();
    expect(existsSync(path)).toBe(true);
  });
});
