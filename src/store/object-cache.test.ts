import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { ObjectCache } from "./object-cache.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const cache = (path: string) => new ObjectCache(path, { clock: systemClock, log: silentLog, delay: 0 });
function told(found: ObjectCache): Record<string, string> | undefined {
  const snapshot = found.load();
  return (
    snapshot && Object.fromEntries(snapshot.objects.map(({ name, value }) => [name, new TextDecoder().decode(value)]))
  );
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twill-objects-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("what was kept is there in the next run: all of many, changes of single ones, and that there are none", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.db");
    const first = cache(path);
    expect(first.load()).toBeUndefined();
    first.keep(new Map());
    await first.flush();
    expect(told(cache(path))).toEqual({});
    first.keep(new Map(Array.from({ length: 1000 }, (_, index) => [`o${index}`, bytes(String(index))])));
    await first.flush();
    first.keep(
      new Map([
        ["o1", bytes("new")],
        ["o2", undefined],
      ]),
    );
    await first.flush();
    const found = told(cache(path)) ?? {};
    expect([Object.keys(found).length, found.o0, found.o1, found.o2]).toEqual([999, "0", "new", undefined]);
    const second = cache(path);
    second.clear();
    expect(second.load()).toBeUndefined();
  }));

test("half of a first list is nothing", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.db");
    const first = cache(path);
    first.keep(new Map(Array.from({ length: 1000 }, (_, index) => [`o${index}`, bytes("x")])));
    // One stretch of the event loop writes a part.
    await Bun.sleep(0);
    const early = told(cache(path));
    expect(early === undefined || Object.keys(early).length === 1000).toBe(true);
    await first.flush();
    expect(Object.keys(told(cache(path)) ?? {}).length).toBe(1000);
  }));

test("a damaged file is ignored and made anew; where nothing can be written, nothing is left", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.db");
    writeFileSync(path, "this is no database, and long enough to be seen as one that is damaged".repeat(100));
    const found = cache(path);
    expect(found.load()).toBeUndefined();
    found.keep(new Map([["a", bytes("1")]]));
    await found.flush();
    expect(told(cache(path))).toEqual({ a: "1" });
    const nowhere = cache("/proc/twill/a.db");
    nowhere.keep(new Map([["a", bytes("1")]]));
    await nowhere.flush();
    expect(nowhere.load()).toBeUndefined();
    expect(readdirSync(folder).every((name) => name.startsWith("a.db"))).toBe(true);
  }));
