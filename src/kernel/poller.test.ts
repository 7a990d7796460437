import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clearEventfd, createEventfd, signalEventfd } from "./eventfd.ts";
import { closeFile } from "./file.ts";
import { POLLIN, POLLOUT } from "./poll.ts";
import { ThreadPoller } from "./poller.ts";

const poller = new ThreadPoller();
const directory = mkdtempSync(join(tmpdir(), "twill-poller-"));
const root = join(import.meta.dir, "../..");
const program = "test/support/poller-program.ts";

beforeAll(() => {
  expect(Bun.isStandaloneExecutable).toBe(false);
});
afterAll(async () => {
  await poller.close();
  rmSync(directory, { recursive: true });
});

/** Long enough for any report that is under way to arrive; there is no event for "nothing happened". */
const settle = () => Bun.sleep(50);

test("a descriptor that is ready before, and one that becomes ready after, are both reported", async () => {
  for (const early of [true, false]) {
    const fd = createEventfd();
    if (early) signalEventfd(fd);
    const returned = new Promise<number>((resolve) => {
      const watch = poller.watch(fd, POLLIN, (events) => {
        watch.close();
        resolve(events);
      });
    });
    if (!early) {
      await settle();
      signalEventfd(fd);
    }
    expect(await returned).toBe(POLLIN);
    closeFile(fd);
  }
});

test("what a callback leaves unread is reported again, what it has read is not", async () => {
  const fd = createEventfd();
  let calls = 0;
  const done = Promise.withResolvers<void>();
  const watch = poller.watch(fd, POLLIN, () => {
    calls++;
    if (calls === 3) {
      clearEventfd(fd);
      done.resolve();
    }
  });
  signalEventfd(fd);
  await done.promise;
  await settle();
  expect(calls).toBe(3);
  watch.close();
  closeFile(fd);
});

test("nothing spins while the main thread is busy", async () => {
  const fd = createEventfd();
  let calls = 0;
  const watch = poller.watch(fd, POLLIN, () => {
    calls++;
    clearEventfd(fd);
  });
  signalEventfd(fd);
  Bun.sleepSync(100);
  await settle();
  expect(calls).toBe(1);
  watch.close();
  closeFile(fd);
});

test("a closed watch is silent, also for the next owner of the same descriptor number", async () => {
  const seen: string[] = [];
  const first = createEventfd();
  signalEventfd(first);
  const watch = poller.watch(first, POLLIN, () => seen.push("first"));
  Bun.sleepSync(20); // the thread has reported by now, the main thread has not heard it
  watch.close();
  closeFile(first);
  const second = createEventfd();
  expect(second).toBe(first);
  const other = poller.watch(second, POLLIN, () => {
    seen.push("second");
    clearEventfd(second);
  });
  await settle();
  expect(seen).toEqual([]);
  signalEventfd(second);
  await settle();
  expect(seen).toEqual(["second"]);
  other.close();
  closeFile(second);
});

test("events can be changed, and none means errors only", async () => {
  const fd = createEventfd();
  let calls = 0;
  const done = Promise.withResolvers<number>();
  const watch = poller.watch(fd, 0, (events) => {
    calls++;
    watch.change(0);
    done.resolve(events);
  });
  await settle();
  expect(calls).toBe(0);
  watch.change(POLLOUT);
  expect(await done.promise).toBe(POLLOUT);
  await settle();
  expect(calls).toBe(1);
  watch.close();
  closeFile(fd);
});

test("a descriptor closed without telling is reported once and forgotten", async () => {
  const fd = createEventfd();
  let calls = 0;
  poller.watch(fd, POLLIN, () => calls++);
  closeFile(fd);
  await settle();
  expect(calls).toBe(1);
});

test("two hundred descriptors at once", async () => {
  const fds = Array.from({ length: 200 }, () => createEventfd());
  const ready = new Set<number>();
  const all = Promise.withResolvers<void>();
  const watches = fds.map((fd) =>
    poller.watch(fd, POLLIN, () => {
      clearEventfd(fd);
      ready.add(fd);
      if (ready.size === fds.length) all.resolve();
    }),
  );
  for (const fd of fds) signalEventfd(fd);
  await all.promise;
  for (const watch of watches) watch.close();
  for (const fd of fds) closeFile(fd);
});

test("a program from source gets its reports and ends by itself", () => {
  const result = Bun.spawnSync([process.execPath, join(root, program)], { cwd: directory, timeout: 60_000 });
  expect(result.stdout.toString()).toBe("ready\n");
  expect(result.exitCode).toBe(0);
});

test("a compiled program finds its own worker, not a file of that name in the current directory", () => {
  const executable = join(directory, "program");
  const worker = "src/kernel/poller-worker.ts";
  const built = Bun.spawnSync(
    [process.execPath, "build", "--compile", "--bytecode", program, worker, "--outfile", executable],
    { cwd: root, stderr: "pipe", timeout: 60_000 },
  );
  expect(built.exitCode).toBe(0);
  mkdirSync(join(directory, "src/kernel"), { recursive: true });
  writeFileSync(join(directory, worker), "throw new Error('not this one')");
  const result = Bun.spawnSync([executable], { cwd: directory, timeout: 60_000 });
  expect(result.stdout.toString()).toBe("ready\n");
  expect(result.exitCode).toBe(0);
}, 120_000);
