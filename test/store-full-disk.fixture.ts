/** Run on a file system of 1 MiB of its own (store-faults.test.ts): prints as JSON what a datastore did when that filled up. */
import { Database } from "bun:sqlite";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import { EmbeddedDatastore } from "../src/store/embedded/embedded.ts";

const directory = process.argv[2] ?? "";
const path = join(directory, "store.db");
const filler = join(directory, "filler");
const value = (index: number) => new Uint8Array(4000).fill(index & 0xff);
const describe = (error: unknown) =>
  error instanceof TwillError ? { code: error.code, errno: error.errno, text: error.describe() } : String(error);
const outcome = (work: Promise<unknown>) => work.then(() => "done", describe);

writeFileSync(filler, new Uint8Array(200 * 1024));
const store = await EmbeddedDatastore.open(path);
const other = await EmbeddedDatastore.open(path);
const start = await store.list("nodes");

// In one batch with a value that does not fit.
const batch = await Promise.all([
  outcome(store.create("batch", "large", new Uint8Array(1000 * 1024))),
  outcome(store.create("batch", "small", new Uint8Array(10))),
]);

const acknowledged: string[] = [];
let failure: unknown;
while (failure === undefined) {
  const name = `n${String(acknowledged.length).padStart(3, "0")}`;
  try {
    await store.create("nodes", name, value(acknowledged.length));
    acknowledged.push(name);
  } catch (error) {
    failure = describe(error);
  }
}

async function intact(from: EmbeddedDatastore): Promise<boolean> {
  const { objects } = await from.list("nodes");
  return (
    objects.length === acknowledged.length &&
    objects.every((object, index) => object.name === acknowledged[index] && Bun.deepEquals(object.value, value(index)))
  );
}

async function watched(count: number): Promise<number> {
  let seen = 0;
  for await (const _ of other.watch("nodes", start.revision)) if (++seen === count) break;
  return seen;
}

const whileFull = {
  intact: await intact(store),
  intactElsewhere: await intact(other),
  watched: await watched(acknowledged.length),
  fails: await outcome(other.create("nodes", "one-more", value(0))),
  newHandleReads: await EmbeddedDatastore.open(path).then(async (handle) => {
    const found = await intact(handle);
    await handle.close();
    return found;
  }, describe),
};
rmSync(filler);
const afterwards = {
  create: await outcome(store.create("nodes", "z", value(acknowledged.push("z") - 1))),
  intact: await intact(other),
};
await store.close();
await other.close();
const database = new Database(path);
const integrity = database.query("PRAGMA integrity_check").get();
console.log(JSON.stringify({ batch, acknowledged: acknowledged.length, failure, whileFull, afterwards, integrity }));
