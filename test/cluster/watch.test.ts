import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Datastore, Revision, WatchEvent } from "../../src/store/datastore.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import { readKubeconfig } from "../../src/store/kubernetes/kubeconfig.ts";
import { Reflector } from "../../src/store/reflector.ts";
import { admin, namespace } from "./control-plane.fixture.ts";

setDefaultTimeout(180_000);

let cluster: Awaited<ReturnType<typeof admin>>;
beforeAll(async () => {
  cluster = await admin();
});

async function datastore(options: { readonly watchSeconds?: number } = {}): Promise<Datastore> {
  const access = readKubeconfig(cluster.kubeconfig, systemClock);
  return new KubernetesDatastore(access, { namespace: await namespace(cluster.api), ...options });
}

const bytes = (text: string) => new TextEncoder().encode(text);

async function first(watch: AsyncIterable<WatchEvent>): Promise<WatchEvent | undefined> {
  for await (const event of watch) return event;
  return undefined;
}

/** As a controller would: through whatever happens. */
async function createPersistently(store: Datastore, name: string): Promise<void> {
  for (;;) {
    try {
      await store.create("nodes", name, bytes(name));
      return;
    } catch {
      await Bun.sleep(200);
    }
  }
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`what follows a kind lives through a restart of the API server (${signal}), missing and repeating nothing`, async () => {
    const store = await datastore();
    const told: string[] = [];
    const end = Promise.withResolvers<void>();
    const reflector = new Reflector({
      store,
      kind: "nodes",
      decode: (value) => new TextDecoder().decode(value),
      clock: systemClock,
      random: systemRandom,
      onChange: (deltas) => {
        for (const delta of deltas) told.push(`${delta.type} ${delta.name}`);
        if (reflector.get("end") !== undefined) end.resolve();
      },
    });
    await reflector.synced;
    const names = Array.from({ length: 12 }, (_, index) => `n${index}`);
    for (const name of names.slice(0, 6)) await store.create("nodes", name, bytes(name));
    await cluster.plane.stopApiServer(signal);
    const starting = cluster.plane.startApiServer();
    for (const name of names.slice(6)) await createPersistently(store, name);
    await starting;
    await createPersistently(store, "end");
    await end.promise;
    // A restarted server's own history begins with its start, so it may ask for a list in between: its order is by name.
    expect(told.sort()).toEqual([...names, "end"].map((name) => `put ${name}`).sort());
    await reflector.close();
    await store.close();
  });
}

test("bookmarks move a quiet watch on, and connections follow each other without a gap", async () => {
  const store = await datastore({ watchSeconds: 5 });
  const { revision } = await store.list("nodes");
  // Other kinds move the server's revision; the watch sees none of them.
  for (let index = 0; index < 5; index++) await store.create("config", `c${index}`, bytes("x"));
  const seen: WatchEvent[] = [];
  const began = performance.now();
  const watching = (async () => {
    for await (const event of store.watch("nodes", revision)) {
      seen.push(event);
      if (event.type === "put") return;
    }
  })();
  // An API server bookmarks 2 s before a connection's time is over, but not if it is late; then comes the next one's.
  while (!seen.some((event) => event.type === "bookmark") && performance.now() - began < 60_000) await Bun.sleep(100);
  await Bun.sleep(10_000); // connections last 5 to 9 s: another one by now
  await store.create("nodes", "late", bytes("x"));
  await watching;
  expect(seen.at(-1)).toMatchObject({ type: "put", object: { name: "late" } });
  const bookmarks = seen.filter((event) => event.type === "bookmark");
  expect(bookmarks.length).toBeGreaterThan(0);
  expect(BigInt(bookmarks[0]?.revision ?? 0)).toBeGreaterThan(BigInt(revision));
  await store.close();
});

test("a watch is told to list again when its history is compacted while the API server is away", async () => {
  const store = await datastore();
  const { revision } = await store.list("nodes");
  for (let index = 0; index < 5; index++) await store.create("nodes", `n${index}`, bytes("x"));
  await cluster.plane.compact();
  expect(await first(store.watch("nodes", revision))).toMatchObject({ type: "relist" });
  await store.close();
});

test("a watch from a revision that is still to come (etcd was restored) is told to list again", async () => {
  const store = await datastore({ watchSeconds: 1 });
  const { revision } = await store.list("nodes");
  const future = String(BigInt(revision) + 1_000_000n) as Revision;
  expect(await first(store.watch("nodes", future))).toMatchObject({ type: "relist" });
  await store.close();
});

test("an API server that stays away is unavailable, and says which", async () => {
  const store = await datastore();
  const { revision } = await store.list("nodes");
  await cluster.plane.stopApiServer();
  try {
    const failure = await first(store.watch("nodes", revision)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "unavailable", message: `nobody listens at ${cluster.plane.server}` });
    expect(await store.get("nodes", "a").catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
  } finally {
    await cluster.plane.startApiServer();
  }
  expect(await store.get("nodes", "a")).toBeUndefined();
  await store.close();
});
