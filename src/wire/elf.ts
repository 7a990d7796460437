import { ByteReader } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";

/**
 * What the dynamic loader reads of a 64-bit little-endian ELF file: who loads it, which libraries it needs and with which
 * symbol versions, and which versions it offers itself. Layouts: elf(5), include/uapi/linux/elf.h, and for symbol versions
 * the Linux Standard Base, Core, chapter 10.7.
 */
export interface ElfDependencies {
  /** e_machine, 62: x86-64, 183: AArch64 (include/uapi/linux/elf-em.h). */
  readonly machine: number;
  /** PT_INTERP: path of the dynamic loader; undefined in libraries and static programs. */
  readonly interpreter: string | undefined;
  /** DT_NEEDED, in order: file names, without a folder. */
  readonly needed: readonly string[];
  /** By library, the versions that this file's symbols ask for: "libc.so.6" → ["GLIBC_2.2.5", "GLIBC_2.17"]. */
  readonly versionsNeeded: ReadonlyMap<string, readonly string[]>;
  /** The versions this file offers, as libc.so.6 does: ["GLIBC_2.2.5", …]. */
  readonly versionsDefined: readonly string[];
}

/** A file that is read in pieces: an executable may have 100 MB, of which a few KiB matter here. */
export interface RandomAccess {
  readonly size: number;
  /** @returns exactly `length` bytes; called only with ranges inside the file. */
  read(offset: number, length: number): Uint8Array;
}

export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_STRSZ = 10n;
const DT_VERDEF = 0x6ffffffcn;
const DT_VERDEFNUM = 0x6ffffffdn;
const DT_VERNEED = 0x6ffffffen;
const DT_VERNEEDNUM = 0x6fffffffn;

/** No real table comes near; a damaged length must not make us read gigabytes. */
const largestTable = 4 << 20;
/** glibc has about 50 versions. */
const mostEntries = 4096;

/** @throws TwillError `corrupt` for bytes that are no such file. */
export function readElf(file: RandomAccess): ElfDependencies {
  const header = range(file, 0, 64);
  if (header.u32be() !== 0x7f454c46) throw new TwillError("corrupt", "this is not an ELF file");
  if (header.u8() !== 2 || header.u8() !== 1) throw new TwillError("corrupt", "not a 64-bit little-endian ELF file");
  header.skip(12);
  const machine = header.u16();
  header.skip(12);
  const programHeaders = offsetOf(header.u64());
  header.skip(14);
  const entrySize = header.u16();
  const count = header.u16();
  if (entrySize < 56) throw new TwillError("corrupt", `program headers of ${entrySize} bytes`);

  const segments = Array.from({ length: count }, (_, index) => segment(file, programHeaders + index * entrySize));
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const entries = dynamic === undefined ? [] : dynamicEntries(range(file, dynamic.offset, dynamic.fileSize));
  const value = (tag: bigint): bigint | undefined => entries.find((entry) => entry.tag === tag)?.value;

  /** Virtual addresses, which the dynamic section speaks of, lie in one of the loaded segments. */
  const offsetAt = (address: bigint): number => {
    const holder = segments.find(
      ({ type, address: start, fileSize }) =>
        type === PT_LOAD && address >= start && address < start + BigInt(fileSize),
    );
    if (holder === undefined) throw new TwillError("corrupt", `address 0x${address.toString(16)} is in no segment`);
    return holder.offset + Number(address - holder.address);
  };
  const stringTable = value(DT_STRTAB);
  const strings =
    stringTable === undefined
      ? new Uint8Array()
      : range(file, offsetAt(stringTable), offsetOf(value(DT_STRSZ) ?? 0n)).bytes;
  const text = (at: number): string => cString(strings, at);
  const table = <T>(start: bigint | undefined, number: bigint | undefined, walk: Walk<T>): T[] =>
    start === undefined ? [] : walk(file, offsetAt(start), offsetOf(number ?? 0n), text);

  return {
    machine,
    interpreter:
      interpreter === undefined ? undefined : cString(range(file, interpreter.offset, interpreter.fileSize).bytes, 0),
    needed: entries.filter(({ tag }) => tag === DT_NEEDED).map((entry) => text(offsetOf(entry.value))),
    versionsNeeded: new Map(table(value(DT_VERNEED), value(DT_VERNEEDNUM), versionNeeds)),
    versionsDefined: table(value(DT_VERDEF), value(DT_VERDEFNUM), versionDefinitions),
  };
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly fileSize: number;
}

/** Elf64_Phdr. */
function segment(file: RandomAccess, at: number): Segment {
  const reader = range(file, at, 56);
  const type = reader.u32();
  reader.skip(4);
  const offset = offsetOf(reader.u64());
  const address = reader.u64();
  reader.skip(8);
  return { type, offset, address, fileSize: offsetOf(reader.u64()) };
}

/** Elf64_Dyn, up to DT_NULL. */
function dynamicEntries(reader: ByteReader): { readonly tag: bigint; readonly value: bigint }[] {
  const entries: { tag: bigint; value: bigint }[] = [];
  while (reader.remaining >= 16) {
    const tag = reader.u64();
    const value = reader.u64();
    if (tag === 0n) break;
    entries.push({ tag, value });
  }
  return entries;
}

type Walk<T> = (file: RandomAccess, at: number, count: number, text: (at: number) => string) => T[];

/** Elf64_Verneed and its Elf64_Vernaux: chains by relative offsets, which here only lead forward, so that walks end. */
const versionNeeds: Walk<readonly [string, readonly string[]]> = (file, start, count, text) =>
  chain(start, count, (at) => {
    const reader = range(file, at, 16);
    reader.skip(2);
    const versions = reader.u16();
    const library = text(reader.u32());
    const first = at + reader.u32();
    const next = reader.u32();
    const names = chain(first, versions, (auxiliary) => {
      const entry = range(file, auxiliary, 16);
      entry.skip(8);
      return { value: text(entry.u32()), next: entry.u32() };
    });
    return { value: [library, names] as const, next };
  });

/** Elf64_Verdef: its first Elf64_Verdaux is its name. The entry with VER_FLG_BASE names the file itself. */
const versionDefinitions: Walk<string> = (file, start, count, text) =>
  chain(start, count, (at) => {
    const reader = range(file, at, 20);
    reader.skip(2);
    const isBase = (reader.u16() & 1) !== 0;
    reader.skip(8);
    const name = range(file, at + reader.u32(), 4);
    const next = reader.u32();
    return { value: isBase ? undefined : text(name.u32()), next };
  }).filter((name) => name !== undefined);

function chain<T>(start: number, count: number, read: (at: number) => { value: T; next: number }): T[] {
  if (count > mostEntries) throw new TwillError("corrupt", `${count} entries in a table of symbol versions`);
  const found: T[] = [];
  let at = start;
  while (found.length < count) {
    const { value, next } = read(at);
    found.push(value);
    if (next === 0) break;
    at += next;
  }
  return found;
}

function range(file: RandomAccess, offset: number, length: number): ByteReader {
  if (length > largestTable || offset + length > file.size) {
    throw new TwillError("corrupt", `${length} bytes at ${offset} of an ELF file of ${file.size} bytes`);
  }
  return new ByteReader(file.read(offset, length));
}

/** File offsets beyond 2^53 cannot be those of a file. */
function offsetOf(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new TwillError("corrupt", `offset ${value} in an ELF file`);
  return Number(value);
}

function cString(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  if (at >= bytes.length || end < 0) throw new TwillError("corrupt", `a text at ${at} that does not end`);
  return new TextDecoder().decode(bytes.subarray(at, end));
}
