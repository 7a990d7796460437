import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCode, TwillError } from "../src/base/errors.ts";
import { callLab, serveControl } from "./control.ts";

type Echo = {
  echo: { params: { text: string }; result: string };
  fail: { params: null; result: never };
  slow: { params: null; result: null };
};

test("progress, results and errors arrive as they were sent; a caller that goes away is noticed", async () => {
  const directory = mkdtempSync("/tmp/twill-control-");
  const socket = join(directory, "s");
  const abandoned = Promise.withResolvers<void>();
  const server = serveControl<Echo>(socket, {
    echo: ({ text }, progress) => {
      progress("one");
      progress("two");
      return text;
    },
    fail: () => {
      throw new TwillError("conflict", "no", { operation: "do", object: "it", remedy: "do not" });
    },
    slow: async (_, progress, signal) => {
      for (;;) {
        progress("working");
        if (signal.aborted) break;
        await Bun.sleep(10);
      }
      abandoned.resolve();
      return null;
    },
  });
  try {
    const seen: string[] = [];
    const text = "ü".repeat(100_000);
    expect(await callLab<Echo, "echo">(socket, "echo", { text }, (line) => seen.push(line))).toBe(text);
    expect(seen).toEqual(["one", "two"]);
    const error = await callLab<Echo, "fail">(socket, "fail", null).catch((caught: unknown) => caught);
    expect(isCode(error, "conflict") && error.describe()).toBe("do it: no (do not)");
    const unknown = await callLab<Echo, never>(socket, "nothing" as never, null as never).catch((e: unknown) => e);
    expect(isCode(unknown, "unsupported")).toBe(true);

    const caller = Bun.spawn([process.execPath, "-e", caller_source(socket)], { stdout: "pipe" });
    await caller.stdout.getReader().read(); // it has seen progress
    caller.kill(9);
    await abandoned.promise;
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true });
  }
  const away = await callLab<Echo, "echo">(socket, "echo", { text: "" }).catch((caught: unknown) => caught);
  expect(isCode(away, "unavailable")).toBe(true);
}, 20_000);

const caller_source = (socket: string): string => `
  const { callLab } = await import(${JSON.stringify(join(import.meta.dir, "control.ts"))});
  await callLab(${JSON.stringify(socket)}, "slow", null, (line) => console.log(line));`;

test("a call may be without a word for longer than a server waits", async () => {
  const directory = mkdtempSync("/tmp/twill-control-");
  const socket = join(directory, "s");
  const server = serveControl<Echo>(socket, {
    echo: async ({ text }, progress) => {
      progress("one word");
      await Bun.sleep(13_000);
      return text;
    },
    fail: () => Promise.reject(new Error("not asked")),
    slow: () => null,
  });
  try {
    expect(await callLab<Echo, "echo">(socket, "echo", { text: "late" })).toBe("late");
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true });
  }
}, 60_000);
