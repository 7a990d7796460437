import { afterAll, beforeEach, expect, onTestFinished, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../base/clock.ts";
import { isCode } from "../base/errors.ts";
import { createEventfd } from "./eventfd.ts";
import { closeAll, receiveDescriptors, trySendDescriptors } from "./fd-passing.ts";
import { closeFile, identityOf, O_RDONLY, openFile } from "./file.ts";
import { encodeFrame } from "./frame.ts";
import { POLLIN, pollOne } from "./poll.ts";
import { ThreadPoller } from "./poller.ts";
import { AF_UNIX, bindSocket, openSocket, SOCK_STREAM, tryConnect, tryReceive, trySend } from "./socket.ts";
import { encodeUnixPath } from "./unix-address.ts";
import { requestUnix } from "./unix-client.ts";
import { serveUnix, type UnixRequest, type UnixServerOptions } from "./unix-server.ts";

const poller = new ThreadPoller();
const directory = mkdtempSync(join(tmpdir(), "twill-unix-"));
const clientProgram = join(import.meta.dir, "../../test/support/unix-client-program.ts");
let path = "";
let count = 0;
beforeEach(() => {
  path = join(directory, `${++count}.sock`);
});
afterAll(async () => {
  await poller.close();
  rmSync(directory, { recursive: true });
});

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);
const echo = (request: UnixRequest) => request.respond(request.bytes);

function serve(handle: (request: UnixRequest) => void, options: Partial<UnixServerOptions> = {}) {
  const server = serveUnix(poller, { path, ...options }, handle);
  onTestFinished(() => server.close());
  return server;
}

/** The blocking client in a process of its own: in this one it would keep the server from answering. */
async function ask(request: string, options: object = {}): Promise<{ answer: string; exit: number; error: string }> {
  const child = Bun.spawn(
    [process.execPath, clientProgram, JSON.stringify({ path, timeout: 20_000, ...options }), request],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [answer, error, exit] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { answer: answer.trimEnd(), exit, error };
}

/** A raw client of this process, to be driven step by step. */
function rawClient(): number {
  const fd = openSocket(AF_UNIX, SOCK_STREAM, 0, { nonBlocking: true });
  expect(tryConnect(fd, encodeUnixPath(path))).toBe(0);
  let open = true;
  onTestFinished(() => {
    if (open) closeFile(fd);
    open = false;
  });
  return fd;
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 1000 && !condition(); round++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

/** Whether the server has cut this client off. */
const isCut = (fd: number) => pollOne(fd, POLLIN, 0) !== 0 && tryReceive(fd, new Uint8Array(16)) <= 0;

test("a request is answered to another process, who it is is known, and the file is root's only", async () => {
  const peers: number[] = [];
  const server = serve((request) => {
    peers.push(request.peer.uid);
    request.respond(bytes(`${text(request.bytes)}!`));
  });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(existsSync(`${path}.new`)).toBe(false);
  expect(await ask("hello")).toEqual({ answer: "hello!", exit: 0, error: "" });
  expect(peers).toEqual([process.getuid?.() ?? 0]);
  server.close();
  expect(existsSync(path)).toBe(false);
  expect(existsSync(`${path}.lock`)).toBe(false);
});

test("messages larger than a socket's buffer cross both ways, up to the limit", async () => {
  serve(echo, { maximumMessage: 100_000 });
  const large = "x".repeat(100_000);
  expect((await ask(large)).answer).toBe(large);
  const refused = await ask(`${large}y`);
  expect(refused.exit).not.toBe(0);
  expect(refused.error).toContain("hung up");
});

test("an answer that is given later, after other connections', reaches its own peer", async () => {
  const waiting: UnixRequest[] = [];
  serve((request) => {
    waiting.push(request);
    if (waiting.length === 3) for (const each of waiting.reverse()) echo(each);
  });
  const answers = await Promise.all([ask("a"), ask("b"), ask("c")]);
  expect(answers.map(({ answer }) => answer)).toEqual(["a", "b", "c"]);
});

test("a second server is refused while the first lives; a dead one's socket is replaced", () => {
  const first = serveUnix(poller, { path }, echo);
  try {
    serveUnix(poller, { path }, echo);
    expect.unreachable();
  } catch (error) {
    expect(isCode(error, "conflict")).toBe(true);
  }
  first.close();
  // What kill -9 leaves: a socket and a lock file that nobody holds.
  writeFileSync(`${path}.lock`, "");
  const dead = openSocket(AF_UNIX, SOCK_STREAM, 0);
  bindSocket(dead, encodeUnixPath(path));
  closeFile(dead);
  expect(existsSync(path)).toBe(true);
  const second = serveUnix(poller, { path }, echo);
  expect(statSync(path).isSocket()).toBe(true);
  second.close();
});

test("nobody there: the client says unavailable at once, with a file left behind or without", () => {
  for (const leave of [false, true]) {
    if (leave) {
      const server = serveUnix(poller, { path: `${path}x` }, echo);
      server.close();
    }
    try {
      requestUnix(bytes("x"), { path, timeout: 5000 });
      expect.unreachable();
    } catch (error) {
      expect(isCode(error, "unavailable")).toBe(true);
    }
  }
});

test("a server that never answers: the client's time is limited", () => {
  serve(() => {});
  // This process runs no event loop meanwhile, so nobody answers.
  expect(() => requestUnix(bytes("x"), { path, timeout: 50 })).toThrow("no answer within 50 ms");
});

test("a descriptor arrives as the same open file, and goes back the other way", async () => {
  const own = openFile("/proc/self/ns/net", O_RDONLY);
  const seen: bigint[] = [];
  serve(
    (request) => {
      for (const fd of request.descriptors) seen.push(identityOf(fd).inode);
      request.respond(bytes("ok"), { descriptors: request.descriptors });
      closeAll(request.descriptors);
    },
    { maximumDescriptors: 1 },
  );
  const fd = rawClient();
  expect(trySendDescriptors(fd, encodeFrame(bytes("ns")), [own])).toBeGreaterThan(0);
  await until(() => seen.length === 1);
  expect(seen).toEqual([identityOf(own).inode]);
  const back = receiveDescriptors(fd, new Uint8Array(100), 1);
  expect(back.descriptors.map((each) => identityOf(each).inode)).toEqual([identityOf(own).inode]);
  closeAll([...back.descriptors, own]);
});

test("more descriptors than expected cut the peer off, and none stays open", async () => {
  let calls = 0;
  serve(() => calls++, { maximumDescriptors: 1 });
  const before = openEventfds();
  for (const descriptors of [2, 1]) {
    const fd = rawClient();
    const sent = Array.from({ length: descriptors }, () => createEventfd());
    const frame = encodeFrame(bytes("hello"));
    // Two at once, or two messages' worth for one frame.
    trySendDescriptors(fd, frame.subarray(0, 3), sent);
    if (descriptors === 1) trySendDescriptors(fd, frame.subarray(3), sent);
    await until(() => isCut(fd));
    closeAll(sent);
  }
  expect(calls).toBe(0);
  expect(openEventfds()).toBe(before);
});

const openEventfds = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventfd]";
    } catch {
      return false; // the descriptor of this listing itself
    }
  }).length;

test("garbage, half a message and silence end the connection, not the server", async () => {
  const clock = new FakeClock();
  const server = serve(echo, { clock, idleTimeout: 40 });
  const garbage = rawClient();
  trySend(garbage, bytes("GET / HTTP/1.1\r\n\r\n"));
  await until(() => isCut(garbage));
  const half = rawClient();
  trySend(half, encodeFrame(bytes("hello")).subarray(0, 6));
  const silent = rawClient();
  await until(() => server.connections === 2);
  await Bun.sleep(100);
  expect(server.connections).toBe(2);
  await clock.advance(41);
  await until(() => isCut(half) && isCut(silent));
  expect((await ask("still here")).answer).toBe("still here");
});

test("connections beyond the limit are closed, and accepted again when others have gone", async () => {
  const server = serve(echo, { maximumConnections: 2 });
  const first = [rawClient(), rawClient()];
  await until(() => server.connections === 2);
  const third = rawClient();
  await until(() => isCut(third));
  const [one = -1] = first;
  trySend(one, new Uint8Array([0xff, 0xff, 0xff, 0xff]));
  await until(() => server.connections === 1);
  expect((await ask("room")).answer).toBe("room");
});

test("a peer that does not read its answers is cut off before they fill the memory", async () => {
  const answer = new Uint8Array(100_000);
  const server = serve((request) => request.respond(answer), { maximumMessage: 200_000 });
  const fd = rawClient();
  for (let round = 0; round < 100; round++) trySend(fd, encodeFrame(bytes("more")));
  await until(() => server.connections === 0);
});
