import { ByteWriter } from "../../../src/base/bytes.ts";
import { type Assembled, assemble, type Source } from "./assemble.ts";
import type { Machine } from "./machine.ts";

/** Where the kernel puts the file: a fixed address that no kernel reserves (vm.mmap_min_addr is 64 KiB at most). */
const base = 0x400000;
/** Pages have 64 KiB on some arm64 kernels. Code and memory must not share one. */
const pageSize = 0x10000;
const headerSize = 64;
const programHeaderSize = 56;

const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  /** In the file, which it starts; 0: nothing of it. */
  readonly fileSize: number;
  readonly size: number;
}

/** A static executable (elf(5)): code that cannot be written, memory that cannot be executed, and nothing else. */
export function executableFile(machine: Machine, source: Source): Uint8Array {
  const start = base + headerSize + 3 * programHeaderSize;
  // Twice: where the memory begins depends on how long the code is.
  const draft = assemble(machine, source, { text: start, memory: base + pageSize });
  const memory = base + Math.ceil((start - base + draft.text.length) / pageSize) * pageSize;
  const { text, memory: memorySize }: Assembled = assemble(machine, source, { text: start, memory });
  const fileSize = start - base + text.length;
  const segments: readonly Segment[] = [
    { type: PT_LOAD, flags: PF_R | PF_X, address: base, fileSize, size: fileSize },
    { type: PT_LOAD, flags: PF_R | PF_W, address: memory, fileSize: 0, size: memorySize },
    { type: PT_GNU_STACK, flags: PF_R | PF_W, address: 0, fileSize: 0, size: 0 },
  ];
  const writer = new ByteWriter(fileSize);
  writer.u32be(0x7f454c46);
  writer.u8(2).u8(1).u8(1).u8(0); // 64 bits, little-endian, version 1, System V ABI
  writer.zero(8);
  writer.u16(2).u16(machine.elf).u32(1); // ET_EXEC
  writer.u64(BigInt(start)).u64(BigInt(headerSize)).u64(0n); // entry, program headers, no section headers
  writer.u32(0).u16(headerSize).u16(programHeaderSize).u16(segments.length);
  writer.u16(0).u16(0).u16(0);
  for (const { type, flags, address, fileSize: inFile, size } of segments) {
    writer.u32(type).u32(flags).u64(0n).u64(BigInt(address)).u64(BigInt(address));
    writer.u64(BigInt(inFile)).u64(BigInt(size)).u64(BigInt(pageSize));
  }
  return writer.raw(text).bytes();
}
