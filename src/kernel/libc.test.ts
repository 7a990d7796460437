import { afterEach, expect, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { EBADF } from "./errno.ts";
import { createEventfd } from "./eventfd.ts";
import { closeFile, duplicate, identityOf, O_RDONLY, openFile, tryRead } from "./file.ts";
import { beforeSystemCall, cString, libc } from "./libc.ts";

afterEach(() => beforeSystemCall(undefined));

test("a refused call is an error with its errno, operation and object", () => {
  try {
    openFile("/no/such/file", O_RDONLY);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(TwillError);
    expect(error).toMatchObject({ code: "not-found", errno: 2, operation: "open", object: "/no/such/file" });
  }
});

test("the tried form returns the negated errno", () => {
  expect(tryRead(-1, new Uint8Array(4))).toBe(-EBADF);
});

test("the hook hears of each call before it is made, and may end the program there", () => {
  const calls: string[] = [];
  beforeSystemCall((name) => calls.push(name));
  closeFile(openFile("/proc/self/ns/net", O_RDONLY));
  expect(calls).toEqual(["open", "close"]);
  beforeSystemCall((name) => {
    if (name === "open") throw new Error("here");
  });
  expect(() => openFile("/proc/self/ns/net", O_RDONLY)).toThrow("here");
});

test("kill -9 at the N-th call: nothing behind it happens", () => {
  const program = `
    import { beforeSystemCall } from ${JSON.stringify(`${import.meta.dir}/libc.ts`)};
    import { createEventfd } from ${JSON.stringify(`${import.meta.dir}/eventfd.ts`)};
    let left = 3;
    beforeSystemCall(() => { if (--left === 0) process.kill(process.pid, "SIGKILL"); });
    for (let made = 0; made < 5; made++) { createEventfd(); require("node:fs").writeSync(1, "."); }
  `;
  const child = Bun.spawnSync([process.execPath, "-e", program], { timeout: 20_000 });
  expect(child.signalCode).toBe("SIGKILL");
  expect(child.stdout.toString()).toBe("..");
});

test("a duplicate is the same open file under another number", () => {
  const fd = createEventfd();
  const other = duplicate(fd);
  expect(other).not.toBe(fd);
  expect(identityOf(other)).toEqual(identityOf(fd));
  closeFile(other);
  closeFile(fd);
});

test("a NUL inside a name is refused: the kernel would take what stands before it", () => {
  expect(() => cString("/run/netns/a\0b")).toThrow("NUL");
});

test("a function that is not called is not looked up: an old libc need not have it", () => {
  const isFound = (name: string) => Object.getOwnPropertyDescriptor(libc, name)?.get === undefined;
  closeFile(openFile("/dev/null", O_RDONLY));
  expect([isFound("open"), isFound("close")]).toEqual([true, true]);
  expect(isFound("sethostname")).toBe(false);
});
