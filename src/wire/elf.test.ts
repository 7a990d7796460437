import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { TwillError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { EM_AARCH64, EM_X86_64, type RandomAccess, readElf } from "./elf.ts";

const inMemory = (bytes: Uint8Array): RandomAccess => ({
  size: bytes.length,
  read: (offset, length) => bytes.subarray(offset, offset + length),
});

const own = readFileSync(process.execPath);

test("this very Bun: its loader, its libraries, and the versions it wants of them", () => {
  const elf = readElf(inMemory(own));
  expect([EM_X86_64, EM_AARCH64]).toContain(elf.machine);
  expect(elf.interpreter).toMatch(/^\/lib(64)?\/ld-linux-/);
  expect(elf.needed).toContain("libc.so.6");
  expect(elf.versionsNeeded.get("libc.so.6")).toContain(elf.machine === EM_X86_64 ? "GLIBC_2.2.5" : "GLIBC_2.17");
  expect(elf.versionsDefined).not.toContain("GLIBC_2.17");
});

test("the libc that runs us offers every version that we need of it", () => {
  const path = readFileSync("/proc/self/maps", "utf8").match(/\S+\/libc\.so\.6$/m)?.[0] ?? "";
  const libc = readElf(inMemory(readFileSync(path)));
  expect(libc.interpreter).toMatch(/ld-linux/);
  for (const version of readElf(inMemory(own)).versionsNeeded.get("libc.so.6") ?? [])
    expect(libc.versionsDefined).toContain(version);
});

test("a file of another kind is named so", () => {
  expect(() => readElf(inMemory(new TextEncoder().encode("#!/bin/sh\n".repeat(20))))).toThrow("not an ELF file");
  expect(() => readElf(inMemory(new Uint8Array()))).toThrow(TwillError);
});

test("damaged bytes give an answer or TwillError corrupt, and soon", () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  // The headers, the dynamic section and the tables it points to lie here; the rest is code.
  const path = readFileSync("/proc/self/maps", "utf8").match(/\S+\/libc\.so\.6$/m)?.[0] ?? "";
  const sample = readFileSync(path);
  const dynamic = dynamicSection(sample);
  let read = 0;
  for (let round = 0; round < 1500; round++) {
    const bytes = new Uint8Array(sample);
    for (let count = 1 + random.below(3); count > 0; count--) {
      const [start, length] = random.below(2) === 0 ? [0, 64 + 56 * 14] : dynamic;
      bytes[start + random.below(length)] = random.below(256);
    }
    const cut = random.below(10) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
    try {
      readElf(inMemory(cut));
      read++;
    } catch (error) {
      if (error instanceof TwillError && error.code === "corrupt") continue;
      throw new Error(`TWILL_SEED=${seed} round ${round}`, { cause: error });
    }
  }
  expect(read).toBeGreaterThan(50);
});

/** Offset and size of PT_DYNAMIC. */
function dynamicSection(bytes: Uint8Array): [number, number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 64; at < 64 + 56 * 20; at += 56)
    if (view.getUint32(at, true) === 2)
      return [Number(view.getBigUint64(at + 8, true)), Number(view.getBigUint64(at + 32, true))];
  throw new Error("no dynamic section");
}
