import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";

/**
 * Classic BPF (include/uapi/linux/bpf_common.h and filter.h), the language of packet sockets' filters and of tcpdump. Only
 * what Twill composes filters from is spelt out; tcpdump's programs are moved about as numbers.
 */
export interface BpfInstruction {
  /** 16 bits: class, size, mode. */
  readonly code: number;
  /** How many instructions to skip when the comparison holds, and when it does not. 8 bits each. */
  readonly jt: number;
  readonly jf: number;
  /** 32 bits. */
  readonly k: number;
}
export type BpfProgram = readonly BpfInstruction[];

/** BPF_MAXINSNS. */
export const maximumProgram = 4096;

const [LD, LDX, RET, LEN_MODE] = [0x00, 0x01, 0x06, 0x80];
const [W, H, B, ABS, IND, MSH] = [0x00, 0x08, 0x10, 0x20, 0x40, 0xa0];
/** BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JA, BPF_ALU|BPF_AND|BPF_K. */
const [JEQ, JA, AND] = [0x15, 0x05, 0x54];
/** Taken whole: the reader's buffer cuts the packet. */
const everything = 0x40000;

/** One thing that must hold: the bytes at `at`, under a mask, equal a value. */
export interface BpfTest {
  /** From the Ethernet header. */
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly value: number;
  readonly mask?: number;
}

/** A frame that passes all tests. */
export interface BpfAlternative {
  readonly tests: readonly BpfTest[];
  /** Bytes before the Ethernet header that a further program is to look at: those of the encapsulation. */
  readonly shift?: number;
}

/**
 * A filter that takes what any of the alternatives takes. @param further a program for Ethernet frames, as tcpdump compiles
 * it, that must take the frame too: where an alternative is an encapsulation, the frame inside.
 * @throws TwillError `invalid` when it grows beyond what the kernel takes.
 */
export function composeFilter(alternatives: readonly BpfAlternative[], further?: BpfProgram): BpfProgram {
  const program: BpfInstruction[] = [];
  for (const { tests, shift = 0 } of alternatives) {
    const failures: number[] = [];
    for (const test of tests) {
      program.push(...load(test), { code: JEQ, jt: 1, jf: 0, k: test.value >>> 0 });
      failures.push(program.length);
      program.push(jump(0));
    }
    program.push(...(further === undefined ? [{ code: RET, jt: 0, jf: 0, k: everything }] : shifted(further, shift)));
    // Jumps of their own, for a comparison can skip 255 instructions only.
    for (const at of failures) program[at] = jump(program.length - at - 1);
  }
  program.push({ code: RET, jt: 0, jf: 0, k: 0 });
  if (program.length > maximumProgram) {
    throw new TwillError("invalid", `the filter has ${program.length} steps, and the kernel takes ${maximumProgram}`, {
      operation: "compose filter",
      remedy: "use a shorter filter",
    });
  }
  return program;
}

const jump = (k: number): BpfInstruction => ({ code: JA, jt: 0, jf: 0, k });

function load({ at, size, mask }: BpfTest): BpfInstruction[] {
  const width = size === 4 ? W : size === 2 ? H : B;
  const step = { code: LD | width | ABS, jt: 0, jf: 0, k: at };
  return mask === undefined ? [step] : [step, { code: AND, jt: 0, jf: 0, k: mask >>> 0 }];
}

/**
 * The same program for a frame that begins `by` bytes further: every load from the packet moves, constants, jumps and scratch
 * memory stay. Loads of the kernel's own values (negative offsets, SKF_AD_OFF) stay as well.
 * @throws TwillError `unsupported` for a program that asks for the packet's length into X, which cannot be corrected in place.
 */
export function shifted(program: BpfProgram, by: number): BpfProgram {
  if (by === 0) return program;
  const hasLength = program.some(({ code }) => (code & 0xe7) === (LD | LEN_MODE));
  if (hasLength || program.some(({ code }) => (code & 0xe7) === (LDX | LEN_MODE))) {
    throw new TwillError("unsupported", "a filter by packet length cannot look into a tunnel", {
      operation: "compose filter",
      remedy: "leave out less, greater and len",
    });
  }
  return program.map((step) => {
    const mode = step.code & 0xe0;
    const kind = step.code & 0x07;
    const fromPacket = (kind === LD && (mode === ABS || mode === IND)) || (kind === LDX && mode === MSH);
    return fromPacket && step.k < 0x8000_0000 ? { ...step, k: step.k + by } : step;
  });
}

/** struct sock_filter, one behind the other. */
export function encodeBpf(program: BpfProgram): Uint8Array {
  const writer = new ByteWriter(program.length * 8);
  for (const { code, jt, jf, k } of program) writer.u16(code).u8(jt).u8(jf).u32(k);
  return writer.bytes();
}

/** @throws TwillError `corrupt` for a part of an instruction. */
export function decodeBpf(bytes: Uint8Array): BpfProgram {
  const reader = new ByteReader(bytes);
  const program: BpfInstruction[] = [];
  while (reader.remaining > 0) program.push({ code: reader.u16(), jt: reader.u8(), jf: reader.u8(), k: reader.u32() });
  return program;
}

/** What `tcpdump -ddd` prints: the number of instructions, then one a line. @throws TwillError `corrupt`. */
export function parseTcpdumpProgram(text: string): BpfProgram {
  const [count, ...lines] = text.trim().split("\n");
  const program = lines.map((line) => {
    const [code, jt, jf, k, ...more] = line.trim().split(/\s+/).map(Number);
    const fits = (value: number | undefined, maximum: number): value is number =>
      value !== undefined && Number.isInteger(value) && value >= 0 && value <= maximum;
    if (!fits(code, 0xffff) || !fits(jt, 0xff) || !fits(jf, 0xff) || !fits(k, 0xffff_ffff) || more.length > 0)
      throw new TwillError("corrupt", `"${line}" is no BPF instruction`);
    return { code, jt, jf, k };
  });
  if (program.length === 0 || program.length !== Number(count) || program.length > maximumProgram)
    throw new TwillError("corrupt", `${count} instructions were announced, and ${program.length} came`);
  return program;
}
