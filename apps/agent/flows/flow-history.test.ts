import { expect, onTestFinished, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { FakeClock } from "../../../src/base/clock.ts";
import { createLog } from "../../../src/base/log.ts";
import type { Flow, FlowsRequest } from "../../../src/model/flow.ts";
import { someFlow } from "./flow.fixture.ts";
import { FlowHistory } from "./flow-history.ts";
import type { HistoryOptions } from "./history-writer.ts";

const log = createLog({ level: "error", format: "text", write: () => {} });

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "twill-flows-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const open = (folder: string, more: Partial<HistoryOptions> = {}): FlowHistory =>
  FlowHistory.open({
    folder: join(folder, "flows"),
    node: "n1",
    maximumBytes: 1 << 20,
    fileBytes: 20_000,
    clock: new FakeClock(1_000_000),
    log,
    ...more,
  });

async function all(history: FlowHistory, request: Partial<FlowsRequest> = {}): Promise<Flow[]> {
  const flows: Flow[] = [];
  let place = request.place;
  for (let pages = 0; pages < 10_000; pages++) {
    const page = await history.page({
      filter: {},
      limit: 100,
      ...request,
      ...(place === undefined ? {} : { place }),
    });
    flows.push(...page.flows);
    expect(page.next).toBeGreaterThanOrEqual(place ?? 0);
    place = page.next;
    if (!page.more) return flows;
  }
  throw new Error("it has no end");
}

const counts = (flows: readonly Flow[]) => flows.map(({ count }) => count);
const upTo = (n: number) => Array.from({ length: n }, (_, index) => index);

async function keep(history: FlowHistory, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    history.add([someFlow(n)]);
    if (n % 10 === 0) await history.flush();
  }
  await history.flush();
}

test("flows are told in order, before and after they are on the disk, and by the next agent", async () => {
  const folder = temporary();
  const history = open(folder);
  history.add([someFlow(0), someFlow(1)]);
  expect(counts(await all(history))).toEqual([0, 1]);
  await keep(history, 2, 300);
  expect(counts(await all(history))).toEqual(upTo(300));
  expect(counts(await all(history, { limit: 7 }))).toEqual(upTo(300));
  await history.close();

  const next = open(folder);
  expect(counts(await all(next))).toEqual(upTo(300));
  await keep(next, 300, 310);
  const flows = await all(next);
  expect(counts(flows)).toEqual(upTo(310));
  expect(flows.map(({ sequence }) => sequence)).toEqual(upTo(310).map((n) => n + 1));
  expect(flows[7]).toEqual({ sequence: 8, ...someFlow(7) });
  await next.close();
});

test("files are for root alone, compressed when full, and readable by people", async () => {
  const folder = temporary();
  const history = open(folder);
  await keep(history, 0, 200);
  await history.close();
  const names = readdirSync(join(folder, "flows")).toSorted();
  expect(statSync(join(folder, "flows")).mode & 0o777).toBe(0o700);
  for (const name of names) expect(statSync(join(folder, "flows", name)).mode & 0o777).toBe(0o600);
  const compressed = names.filter((name) => name.endsWith(".gz"));
  expect(compressed.length).toBeGreaterThan(2);
  const content = await Bun.file(join(folder, "flows", compressed[0] ?? "")).bytes();
  const lines = new TextDecoder().decode(gunzipSync(content)).trim().split("\n");
  expect(JSON.parse(lines[0] ?? "")).toEqual({ twill: "flows", version: 1, node: "n1", first: 1 });
  expect(JSON.parse(lines[1] ?? "")).toEqual({ sequence: 1, ...someFlow(0) });
  // Flows are alike: what is kept is many times what lies on the disk.
  expect(statSync(join(folder, "flows", compressed[0] ?? "")).size).toBeLessThan(4000);
});

test("the oldest goes when there is no more room, and who asks for it is told", async () => {
  const history = open(temporary(), { maximumBytes: 30_000 });
  await keep(history, 0, 5000);
  expect(history.kept.bytes).toBeLessThanOrEqual(30_000);
  const page = await history.page({ filter: {}, place: 1, limit: 1 });
  expect(page.missed).toBeGreaterThan(100);
  const flows = await all(history);
  expect(flows[0]?.sequence).toBe(1 + page.missed);
  expect(flows.at(-1)?.count).toBe(4999);
  expect(flows.length).toBe(5000 - page.missed);
  await history.close();
});

test("filters, by time with the files' names for an index", async () => {
  const clock = new FakeClock(1_000_000);
  const folder = temporary();
  const first = open(folder, { clock });
  for (let n = 0; n < 3000; n++) {
    first.add([someFlow(n, { since: clock.now(), until: clock.now() })]);
    await clock.advance(1000);
    if (n % 10 === 0) await first.flush();
  }
  await first.close();
  // The next agent has all of them on the disk, and none in memory.
  const history = open(folder, { clock });
  const late = await all(history, { filter: { since: 1_000_000 + 2_995_000 } });
  expect(counts(late)).toEqual([2995, 2996, 2997, 2998, 2999]);
  const middle = await all(history, { filter: { since: 1_000_000 + 500_000, until: 1_000_000 + 510_000 } });
  expect(counts(middle)).toEqual(upTo(11).map((n) => 500 + n));
  // It does not begin with the first file.
  const { next } = await history.page({ filter: { since: 1_000_000 + 500_000 }, limit: 1 });
  expect(next).toBeGreaterThan(400);
  const named = await all(history, { filter: { from: { kind: "pod", namespace: "shop", name: "web-1" } } });
  expect(counts(named)).toEqual(upTo(3000).filter((n) => n % 3 === 1));
  expect(await all(history, { filter: { verdict: "allow" } })).toEqual([]);
  await history.close();
});

test("a line that was cut, a file of another kind and leftovers of a crash harm nothing", async () => {
  const folder = temporary();
  const first = open(folder);
  await keep(first, 0, 30);
  await first.close();
  const [name = ""] = readdirSync(join(folder, "flows"));
  appendFileSync(join(folder, "flows", name), '{"sequence":31,"since":1');
  writeFileSync(join(folder, "flows", `${name}.gz.tmp`), "half");
  writeFileSync(join(folder, "flows", "notes.txt"), "mine");
  const second = open(folder);
  await keep(second, 30, 40);
  expect(counts(await all(second))).toEqual(upTo(40));
  await second.close();
  expect(existsSync(join(folder, "flows", `${name}.gz.tmp`))).toBe(false);
  expect(existsSync(join(folder, "flows", "notes.txt"))).toBe(true);
});

test("without a disk the last ones are told; a place of another life begins anew", async () => {
  const history = FlowHistory.open(undefined);
  for (let n = 0; n < 10_000; n++) history.add([someFlow(n)]);
  await history.flush();
  const flows = await all(history);
  expect(flows.at(-1)?.count).toBe(9999);
  expect(flows.length).toBeWithin(2000, 4001);
  const page = await history.page({ filter: {}, place: 99_999, limit: 10 });
  expect(page).toMatchObject({ flows: [], more: true });
  expect(page.next).toBeLessThan(99_999);
});

test("a place that is no folder is an error that says so", () => {
  const folder = temporary();
  writeFileSync(join(folder, "flows"), "");
  expect(() => open(folder)).toThrow("cannot be used");
});

test("killed at any moment, it leaves a history that the next agent reads and goes on with", async () => {
  const folder = temporary();
  mkdirSync(folder, { recursive: true });
  let last = 0;
  for (let round = 0; round < 5; round++) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "history-child.fixture.ts"), folder, "write"], {
      stdout: "pipe",
      stderr: "inherit",
    });
    onTestFinished(() => child.kill("SIGKILL"));
    await child.stdout.getReader().read();
    await Bun.sleep(50 + round * 37);
    child.kill("SIGKILL");
    await child.exited;
    const history = open(folder);
    const flows = await all(history);
    await history.close();
    expect(flows.length).toBeGreaterThan(0);
    // Whole, in order, and none of an earlier life's numbers is given again.
    const sequences = flows.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    expect(new Set(sequences).size).toBe(sequences.length);
    expect(sequences.at(-1) ?? 0).toBeGreaterThan(last);
    last = sequences.at(-1) ?? 0;
  }
}, 60_000);

test("a full disk ends the keeping, not the telling; with room it goes on", () => {
  const folder = temporary();
  // A small tmpfs in a mount namespace of its own, which is gone with the process.
  const child = Bun.spawnSync(
    ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"', folder].concat(
      process.execPath,
      join(import.meta.dir, "history-child.fixture.ts"),
      folder,
      "full",
    ),
    { stderr: "inherit", timeout: 30_000 },
  );
  const { full, told, after } = JSON.parse(child.stdout.toString());
  expect(full.failure).toContain("ENOSPC");
  expect(full.lost).toBeGreaterThan(0);
  expect(told).toBe(200);
  expect(after.failure).toBeUndefined();
  expect(after.lost).toBeLessThan(full.lost + 200);
}, 60_000);
