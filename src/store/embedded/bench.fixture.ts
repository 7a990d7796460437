/**
 * What the embedded datastore costs here and now: `bun src/store/embedded/bench.fixture.ts [DIRECTORY]`. The file system
 * of the directory decides, for every commit waits for its disk.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Datastore } from "../datastore.ts";
import { openDatastore } from "../open.ts";

const [directory = "/tmp", role, url = ""] = process.argv.slice(2);
const value = (at = 0) => new TextEncoder().encode(JSON.stringify({ at, padding: "x".repeat(400) }));
/** Microseconds on a clock that all processes of the machine share. */
const now = () => performance.timeOrigin * 1000 + performance.now() * 1000;

function report(what: string, samples: number[]): void {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number) => ((sorted[Math.floor((sorted.length - 1) * part)] ?? 0) / 1000).toFixed(2);
  console.log(`${what.padEnd(52)} p50 ${at(0.5)} ms   p99 ${at(0.99)} ms   (${samples.length})`);
}

async function timed(count: number, work: (index: number) => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let index = 0; index < count; index++) {
    const started = now();
    await work(index);
    samples.push(now() - started);
  }
  return samples;
}

/** Another process: writes the time every 5 ms. */
async function write(store: Datastore): Promise<void> {
  let { revision } = await store.create("bench", "clock", value());
  for (let index = 0; index < 500; index++) {
    await Bun.sleep(5);
    revision = (await store.update("bench", "clock", value(now()), revision)).revision;
  }
}

async function watchLatency(store: Datastore, file: string): Promise<number[]> {
  const { revision } = await store.list("bench");
  Bun.spawn([process.execPath, import.meta.path, directory, "write", file], { stdout: "inherit" });
  const samples: number[] = [];
  for await (const event of store.watch("bench", revision)) {
    if (event.type !== "put") continue;
    const { at } = JSON.parse(new TextDecoder().decode(event.object.value));
    if (at > 0) samples.push(now() - at);
    if (samples.length === 500) break;
  }
  return samples;
}

if (role === "write") {
  const store = await openDatastore(url);
  await write(store);
  await store.close();
} else {
  const place = mkdtempSync(join(directory, "twill-bench-"));
  const file = `embedded:${join(place, "store.db")}`;
  const store = await openDatastore(file);
  report("create, one after the other", await timed(1000, (index) => store.create("one", `n${index}`, value())));
  let { revision } = await store.create("one", "swapped", value());
  const swap = async () => {
    revision = (await store.update("one", "swapped", value(), revision)).revision;
  };
  report("compare-and-swap, one after the other", await timed(1000, swap));
  report("write in one process → seen by a watch in another", await watchLatency(store, file));
  const together = await timed(1, () =>
    Promise.all(Array.from({ length: 10_000 }, (_, index) => store.create("many", `n${index}`, value()))),
  );
  report("10,000 creates at once, all of them", together);
  report("list of 10,000 objects of 420 bytes", await timed(50, () => store.list("many")));
  report("get", await timed(1000, (index) => store.get("many", `n${index}`)));
  await store.close();
  rmSync(place, { recursive: true });
}
