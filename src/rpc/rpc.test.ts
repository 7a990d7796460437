import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TwillError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { seededRandom } from "../base/random.ts";
import { openFile } from "../kernel/file.ts";
import { ThreadPoller } from "../kernel/poller.ts";
import type { UnixServer } from "../kernel/unix-server.ts";
import { decodeAnswer, decodeRequest, encodeError, encodeRequest, encodeResult } from "./message.ts";
import { type Handlers, serveRpc } from "./server.ts";

/** The client blocks its thread, so the caller is another process. */
const caller = join(import.meta.dir, "rpc-caller.fixture.ts");
const poller = new ThreadPoller();
const folder = mkdtempSync(join(tmpdir(), "twill-rpc-"));
const path = join(folder, "agent.sock");
let server: UnixServer | undefined;

afterEach(() => server?.close());
afterAll(async () => {
  await poller.close();
  rmSync(folder, { recursive: true, force: true });
});

const serve = (handlers: Handlers) => {
  server = serveRpc(poller, { path, handlers, log: silentLog });
};

/** What the caller printed: the result, or the error, as JSON. */
async function call(method: string, params: unknown, raw?: string): Promise<Record<string, unknown>> {
  const child = Bun.spawn([process.execPath, caller, path, method, JSON.stringify(params), raw ?? ""], {
    stdout: "pipe",
    stderr: "inherit",
  });
  return (await new Response(child.stdout).json()) as Record<string, unknown>;
}

test("a call gets its handler's result, at once or later", async () => {
  serve({ logLevel: ({ level = "info" }) => ({ level }) });
  expect(await call("logLevel", { level: "debug" })).toEqual({ result: { level: "debug" } });
  server?.close();
  serve({ logLevel: async ({ level = "info" }) => ({ level }) });
  expect(await call("logLevel", {})).toEqual({ result: { level: "info" } });
});

test("an error arrives with its code, message and remedy", async () => {
  serve({
    logLevel: () => {
      throw new TwillError("exhausted", "all are taken", { operation: "take", object: "it", remedy: "wait" });
    },
  });
  expect(await call("logLevel", {})).toMatchObject({
    error: { code: "exhausted", message: "all are taken", operation: "take", object: "it", remedy: "wait" },
  });
});

test("unknown methods, wrong parameters, other versions and plain rubbish are refused in words", async () => {
  serve({ logLevel: () => ({ level: "info" }) });
  expect(await call("toString", {})).toMatchObject({ error: { code: "unsupported" } });
  expect(await call("cni", {})).toMatchObject({ error: { code: "unsupported" } });
  expect(await call("logLevel", { level: "loud" })).toMatchObject({ error: { code: "invalid" } });
  expect(await call("logLevel", [])).toMatchObject({ error: { code: "invalid" } });
  expect(await call("", {}, '{"twill":2,"method":"logLevel"}')).toMatchObject({ error: { code: "unsupported" } });
  expect(await call("", {}, "GET / HTTP/1.1")).toMatchObject({ error: { code: "corrupt" } });
  expect(await call("logLevel", {})).toEqual({ result: { level: "info" } });
});

test("nobody there: unavailable, with what to do", async () => {
  expect(await call("logLevel", {})).toMatchObject({
    error: { code: "unavailable", remedy: "start twill-agent on this node, or look at its log" },
  });
});

test("a descriptor is handed over, and closed after the call", async () => {
  const seen: string[] = [];
  serve({
    cni: (_call, { descriptors }) => {
      const [fd] = descriptors;
      seen.push(require("node:fs").readlinkSync(`/proc/self/fd/${fd}`));
      return { status: 0, stdout: String(fd) };
    },
  });
  const answer = await call("cni", { variables: {}, config: "{}" });
  expect(seen).toEqual([caller]);
  const fd = Number((answer.result as { stdout: string }).stdout);
  const probe = openFile("/dev/null", 0);
  expect(probe).toBeLessThanOrEqual(fd);
});

test("messages survive encoding; random bytes decode to a message or a TwillError", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = seededRandom(seed);
  const request = { method: "logLevel", params: { level: "debug" } };
  expect(decodeRequest(encodeRequest(request))).toEqual(request);
  expect(decodeAnswer(encodeResult([1]))).toEqual([1]);
  const valid = [encodeRequest(request), encodeResult({}), encodeError(new TwillError("io", "x"))];
  for (let round = 0; round < 3000; round++) {
    const bytes = (valid[random.below(3)] ?? new Uint8Array()).slice();
    for (let flips = random.below(4); flips >= 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
    for (const decode of [decodeRequest, decodeAnswer]) {
      try {
        decode(round % 3 === 0 ? random.bytes(random.below(64)) : bytes);
      } catch (error) {
        if (!(error instanceof TwillError)) throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  }
});
