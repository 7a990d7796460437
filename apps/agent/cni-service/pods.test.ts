import { expect, onTestFinished, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAttachKernel } from "../../../src/attach/attach-kernel.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { type Prefix, parsePrefix } from "../../../src/base/prefix.ts";
import { AddressBook } from "../../../src/ipam/address-book.ts";
import { testNetns } from "../../../test/support/netns.ts";
import { Books } from "./books.ts";
import { Pods } from "./pods.ts";

test("an interrupted ADD on a full disk: the agent starts, says so, and takes it back once there is room", () => {
  const folder = mkdtempSync(join(tmpdir(), "twill-pods-"));
  const books = new Books({ folder, boot: { id: "this", now: () => 0 } });
  const kernel = openAttachKernel(testNetns().fd);
  onTestFinished(() => {
    books.close();
    kernel.close();
    rmSync(folder, { recursive: true });
  });
  const key = { network: "twill", containerId: "c1", ifname: "eth0" };
  const subnets: readonly Prefix[] = [parsePrefix("10.244.1.0/24")];
  books.ofNode(subnets).assign(key, { families: [4] });
  const full = spyOn(AddressBook.prototype, "release").mockImplementation(() => {
    throw new TwillError("io", "no space is left", { remedy: "make room" });
  });
  const pods = new Pods(kernel, books, silentLog);
  const told = () => pods.problems.map(({ subject, message, remedy }) => `${subject}: ${message}; ${remedy}`);
  const kept = ["container c1: it is gone, and its addresses cannot be given out again: no space is left; make room"];
  try {
    pods.sweep();
    expect(told()).toEqual(kept);
    pods.repair();
    expect([told(), books.holding(key) === undefined]).toEqual([kept, false]);
  } finally {
    full.mockRestore();
  }
  pods.repair();
  expect([told(), books.holding(key)]).toEqual([[], undefined]);
}, 60_000);
