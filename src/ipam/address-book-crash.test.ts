import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCode } from "../base/errors.ts";
import { parsePrefix } from "../base/prefix.ts";
import { AddressBook } from "./address-book.ts";
import { systemBoot } from "./boot.ts";

interface Line {
  readonly opened?: number;
  readonly begins?: string;
  readonly done?: string;
  readonly addresses?: readonly string[];
  readonly state?: string;
}

const openHere = (path: string) =>
  AddressBook.open(path, { subnets: [parsePrefix("10.244.1.0/24")], boot: systemBoot() }).book;

/** Runs the writer, kills it when it has worked for a while, and returns what it said until then. */
async function killedWriter(path: string, seed: number): Promise<Line[]> {
  const script = join(import.meta.dir, "book-writer.fixture.ts");
  const child = Bun.spawn([process.execPath, script, path, String(seed)], { stdout: "pipe", stderr: "inherit" });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    if (text === "") {
      expect(() => openHere(path)).toThrow("in use by another process");
      setTimeout(() => child.kill("SIGKILL"), 5 + ((seed * 13) % 50));
    }
    text += decoder.decode(chunk, { stream: true });
  }
  await child.exited;
  expect(child.signalCode).toBe("SIGKILL");
  const lines = text.split("\n");
  lines.pop(); // cut short, or empty
  return lines.map((line): Line => JSON.parse(line));
}

test("kill -9 at any moment: every operation is there whole or not at all, and all that were acknowledged are", async () => {
  const directory = mkdtempSync(join(tmpdir(), "twill-book-crash-"));
  const path = join(directory, "addresses.db");
  try {
    let expected = new Map<string, { addresses: readonly string[]; state: string }>();
    let operations = 0;
    // A busy machine does little in a writer's short life: then there are more lives.
    for (let seed = 1; seed <= 12 || operations <= 200; seed++) {
      const lines = await killedWriter(path, seed);
      expect(lines[0]?.opened).toBe(expected.size);
      let underWay: string | undefined;
      for (const { begins, done, addresses = [], state = "" } of lines) {
        if (begins !== undefined) underWay = begins;
        if (done === undefined) continue;
        underWay = undefined;
        operations++;
        if (state === "released") expected.delete(done);
        else expected.set(done, { addresses, state });
      }
      const book = openHere(path);
      const found = new Map(book.list().map(({ key, addresses, state }) => [key.containerId, { addresses, state }]));
      book.close();
      const all = [...found.values()].flatMap(({ addresses }) => addresses);
      expect(new Set(all).size).toBe(all.length);
      for (const { addresses } of found.values()) expect(addresses.length).toBe(2);
      const certain = (map: typeof expected) => [...map].filter(([name]) => name !== underWay).sort();
      expect(certain(found)).toEqual(certain(expected));
      expected = found;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 300_000);

test("a full disk: nothing is half assigned or half released, the error says what to do, and it goes on with space", () => {
  const script = join(import.meta.dir, "book-full-disk.fixture.ts");
  const directory = mkdtempSync(join(tmpdir(), "twill-book-full-"));
  try {
    // A small tmpfs in a mount namespace of its own, which is gone with the process.
    const child = Bun.spawnSync(
      ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', directory].concat(
        process.execPath,
        script,
        directory,
      ),
      { stderr: "inherit", timeout: 30_000 },
    );
    const said = JSON.parse(child.stdout.toString());
    expect(said.assign).toMatchObject({ code: "io" });
    expect(said.assign.message).toContain("no space is left");
    expect(said.assign.remedy).toContain(`free space in ${directory}`);
    expect(said.release).toMatchObject({ code: "io" });
    expect(said.onFullDisk).toBeGreaterThan(0);
    expect(said).toMatchObject({ memoryEqualsDisk: true, unchanged: true, stillOwned: true, afterwards: true });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

test("an error of the book is one of ours", () => {
  try {
    openHere("/proc/no/such/addresses.db");
    throw new Error("opened");
  } catch (error) {
    expect(isCode(error, "io")).toBe(true);
  }
});
