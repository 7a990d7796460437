import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { FakeClock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import { createLog } from "../base/log.ts";
import { seededRandom } from "../base/random.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot, SnapshotFile } from "./snapshot.ts";

let directory: string;
let clock: FakeClock;
let lines: string[];
const snapshot: Snapshot = {
  savedAt: 1_760_000_000_000,
  objects: [
    { name: "a", value: new Uint8Array([0, 255, 10, 13]) },
    { name: "empty", value: new Uint8Array(0) },
  ],
};

beforeEach(() => {
  directory = mkdtempSync("/tmp/twill-snapshot-");
  clock = new FakeClock();
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = (name = "nodes.snapshot") =>
  new SnapshotFile(join(directory, name), { clock, log: createLog({ write: (line) => lines.push(line) }) });

test("what was saved is loaded by the next process, from a file that only its owner reads", async () => {
  const first = file();
  first.changed(() => snapshot);
  await first.flush();
  expect(file().load()).toEqual(snapshot);
  expect(statSync(first.path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(["nodes.snapshot"]);
});

test("a missing snapshot is nothing to report", () => {
  expect(file().load()).toBeUndefined();
  expect(lines).toEqual([]);
});

test("a damaged snapshot is reported, ignored, and replaced by the next save", async () => {
  const good = encodeSnapshot(snapshot);
  const flipped = Uint8Array.from(good);
  flipped[good.length - 5] = (flipped[good.length - 5] ?? 0) ^ 1;
  const damaged = {
    empty: [],
    text: [104, 105],
    cut: good.slice(0, -1),
    flipped,
    longer: [...good, 32],
    zeros: new Uint8Array(500),
  };
  for (const [name, bytes] of Object.entries(damaged)) {
    writeFileSync(join(directory, "nodes.snapshot"), Uint8Array.from(bytes));
    expect([name, file().load()]).toEqual([name, undefined]);
    expect(lines.splice(0).join()).toContain("is ignored");
  }
  const next = file();
  next.changed(() => snapshot);
  await next.flush();
  expect(file().load()).toEqual(snapshot);
});

test("a snapshot of a later Twill is ignored", () => {
  const text = new TextDecoder().decode(encodeSnapshot(snapshot)).replace('"version":1', '"version":2');
  writeFileSync(join(directory, "nodes.snapshot"), text);
  expect(file().load()).toBeUndefined();
  expect(lines.join()).toContain("has version 2");
});

test("many changes are one write, once they pause", async () => {
  const cache = file();
  let taken = 0;
  for (let change = 0; change < 5; change++) {
    cache.changed(() => {
      taken++;
      return snapshot;
    });
    await clock.advance(900);
  }
  expect(taken).toBe(0);
  await clock.advance(200);
  await cache.flush();
  expect(taken).toBe(1);
});

test("changes that never pause are written all the same, within the bound", async () => {
  const cache = file();
  let taken = 0;
  for (let change = 0; change < 30 && taken === 0; change++) {
    cache.changed(() => {
      taken++;
      return snapshot;
    });
    await clock.advance(500);
  }
  expect(taken).toBe(1);
  expect(clock.monotonic()).toBeLessThanOrEqual(10_500);
  await cache.flush();
});

test("a snapshot that cannot be written is reported, the old one stays, and it is tried again", async () => {
  const target = join(directory, "gone", "deeper", "nodes.snapshot");
  const cache = new SnapshotFile(target, { clock, log: createLog({ write: (line) => lines.push(line) }) });
  cache.changed(() => snapshot);
  await cache.flush();
  expect(lines.join()).toContain("cannot cache the state");
  mkdirSync(join(directory, "gone"));
  cache.changed(() => snapshot);
  await cache.flush();
  expect(existsSync(target)).toBe(true);
  expect(decodeSnapshot(readFileSync(target), target)).toEqual(snapshot);
});

test("random bytes never fail otherwise than with a TwillError", () => {
  const seed = 4711;
  const random = seededRandom(seed);
  const good = encodeSnapshot(snapshot);
  for (let round = 0; round < 2000; round++) {
    const bytes = round % 2 === 0 ? random.bytes(random.below(200)) : Uint8Array.from(good);
    if (round % 2 === 1) bytes[random.below(bytes.length)] = random.below(256);
    try {
      const decoded = decodeSnapshot(bytes, "fuzz");
      expect(decodeSnapshot(encodeSnapshot(decoded), "fuzz")).toEqual(decoded);
    } catch (error) {
      if (!(error instanceof TwillError)) throw new Error(`seed ${seed}, round ${round}: ${error}`);
    }
  }
});
