import { expect, onTestFinished, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCode } from "../base/errors.ts";
import { closeFile, O_RDONLY, openFile } from "./file.ts";
import {
  createNetns,
  createNetnsAt,
  currentNetns,
  inNetns,
  netnsInode,
  openNetns,
  removeNetns,
  requireNetns,
} from "./netns.ts";

function opened(fd: number): number {
  onTestFinished(() => closeFile(fd));
  return fd;
}

function here(): bigint {
  const fd = currentNetns();
  const inode = netnsInode(fd);
  closeFile(fd);
  return inode;
}

const codeOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return (
      (["invalid", "not-found", "exists", "internal"] as const).find((code) => isCode(error, code)) ?? String(error)
    );
  }
};

test("a new namespace is another one, and making it leaves us at home", () => {
  const home = here();
  const [a, b] = [opened(createNetns()), opened(createNetns())];
  expect(new Set([home, netnsInode(a), netnsInode(b)]).size).toBe(3);
  expect(here()).toBe(home);
});

test("work runs inside, its result comes out, and we are home again, also after an exception and from inside another", () => {
  const home = here();
  const [a, b] = [opened(createNetns()), opened(createNetns())];
  expect(inNetns(a, here)).toBe(netnsInode(a));
  expect(inNetns(a, () => [inNetns(b, here), here()])).toEqual([netnsInode(b), netnsInode(a)]);
  expect(here()).toBe(home);
  expect(() =>
    inNetns(a, () => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(here()).toBe(home);
});

test("asynchronous work is refused: it would go on at home", () => {
  const home = here();
  const netns = opened(createNetns());
  expect(codeOf(() => inNetns(netns, async () => {}))).toBe("internal");
  expect(here()).toBe(home);
});

test("only a network namespace can be opened as one", () => {
  const directory = mkdtempSync(join(tmpdir(), "twill-netns-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "file"), "");
  expect(codeOf(() => openNetns(join(directory, "file")))).toBe("invalid");
  expect(codeOf(() => openNetns("/proc/self/ns/mnt"))).toBe("invalid");
  expect(codeOf(() => openNetns(directory))).toBe("invalid");
  expect(codeOf(() => openNetns(join(directory, "none")))).toBe("not-found");
  const mount = opened(openFile("/proc/self/ns/mnt", O_RDONLY));
  expect(codeOf(() => requireNetns(mount))).toBe("invalid");
  const fd = opened(openNetns("/proc/self/ns/net"));
  expect(netnsInode(fd)).toBe(here());
});

test("a bound namespace outlives its descriptor until it is removed", () => {
  const directory = mkdtempSync(join(tmpdir(), "twill-netns-"));
  const path = join(directory, "pod");
  onTestFinished(() => {
    removeNetns(path);
    rmSync(directory, { recursive: true });
  });
  const fd = createNetnsAt(path);
  const inode = netnsInode(fd);
  expect(codeOf(() => createNetnsAt(path))).toBe("exists");
  closeFile(fd);
  const again = openNetns(path);
  expect(netnsInode(again)).toBe(inode);
  closeFile(again);
  removeNetns(path);
  expect(existsSync(path)).toBe(false);
  removeNetns(path);
  // What a crash between creating the file and mounting leaves.
  writeFileSync(path, "");
  removeNetns(path);
  expect(existsSync(path)).toBe(false);
});
