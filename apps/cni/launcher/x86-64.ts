import { EM_X86_64 } from "../../../src/wire/elf.ts";
import type { Argument, Arithmetic, Comparison, Instruction, Register, SystemCall } from "./instruction.ts";
import type { Machine } from "./machine.ts";

/**
 * x86-64: Intel SDM volume 2, chapter 2 (formats) and 3 to 6 (opcodes); numbers of system calls in the kernel's
 * arch/x86/entry/syscalls/syscall_64.tbl. Jumps always take 32 bits, so that no code's length depends on where a label comes
 * to lie.
 */
const numbers = {
  close: 3,
  connect: 42,
  dup3: 292,
  execve: 59,
  exit_group: 231,
  lseek: 8,
  memfd_create: 319,
  openat: 257,
  ppoll: 271,
  read: 0,
  readlinkat: 267,
  sendmsg: 46,
  socket: 41,
  write: 1,
} as const satisfies Readonly<Record<SystemCall, number>>;

/** rbx, rbp, r12 to r15: the kernel changes rax, rcx and r11 only (syscall(2)). */
const registers: Readonly<Record<Register, number>> = { a: 3, b: 5, c: 12, d: 13, e: 14, f: 15, result: 0 };
/** rdi, rsi, rdx, r10, r8, r9 */
const argumentRegisters = [7, 6, 2, 10, 8, 9];
const rsp = 4;
/** rcx, for values that no instruction has room for. */
const scratch = 1;

/** op r/m64, r64 */
const arithmeticOpcodes: Readonly<Record<Arithmetic, number>> = {
  move: 0x89,
  add: 0x01,
  subtract: 0x29,
  and: 0x21,
  or: 0x09,
};
const compareOpcode = 0x39;
/** The second byte of Jcc rel32. */
const jumpOpcodes: Readonly<Record<Comparison, number>> = {
  "==": 0x84,
  "!=": 0x85,
  "<": 0x8c,
  ">=": 0x8d,
  "<=": 0x8e,
  ">": 0x8f,
};
/** movzx r32, r/m8 and r/m16; mov r32, r/m32 and r64, r/m64. The first two and the third fill up with zeros. */
const loads = { 1: [0x0f, 0xb6], 2: [0x0f, 0xb7], 4: [0x8b], 8: [0x8b] } as const;
const stores = { 1: 0x88, 2: 0x89, 4: 0x89, 8: 0x89 } as const;

export const x8664: Machine = {
  elf: EM_X86_64,
  encode: (instruction, address, addressOf) => Uint8Array.from(encode(instruction, address, addressOf)),
};

function encode(instruction: Instruction, address: number, addressOf: (name: string) => number): number[] {
  switch (instruction.op) {
    case "label":
      return [];
    case "stack":
      return registerToRegister(arithmeticOpcodes.move, registers[instruction.to], rsp);
    case "set":
      return setRegister(registers[instruction.to], instruction.value);
    case "address":
      return setRegister(registers[instruction.to], BigInt(addressOf(instruction.of)));
    case "arithmetic":
      return withOperand(arithmeticOpcodes[instruction.what], registers[instruction.to], instruction.by);
    case "load":
    case "store":
      return memory(instruction, addressOf);
    case "jump":
      return relative([0xe9], instruction.to, address, addressOf);
    case "branch": {
      const compare = withOperand(compareOpcode, registers[instruction.left], instruction.right);
      const opcode = [0x0f, jumpOpcodes[instruction.when]];
      return [...compare, ...relative(opcode, instruction.to, address + compare.length, addressOf)];
    }
    case "call":
      return [
        ...instruction.arguments.flatMap((argument, index) => passArgument(index, argument, addressOf)),
        ...setRegister(0, BigInt(numbers[instruction.what])), // rax last: it may have been an argument's source
        0x0f,
        0x05, // syscall
      ];
  }
}

function passArgument(index: number, argument: Argument, addressOf: (name: string) => number): number[] {
  const to = argumentRegisters[index];
  if (to === undefined) throw new RangeError("a system call has at most six arguments");
  if (typeof argument === "string") return registerToRegister(arithmeticOpcodes.move, to, registers[argument]);
  const value = typeof argument === "number" ? BigInt(argument) : BigInt(addressOf(argument.address));
  return setRegister(to, BigInt.asUintN(64, value));
}

/** REX.W, and the high bits of both registers' numbers; nothing where there is nothing to say. */
function rex(wide: boolean, register: number, base: number): number[] {
  const bits = (wide ? 8 : 0) | ((register >> 3) << 2) | (base >> 3);
  return bits === 0 ? [] : [0x40 | bits];
}

const registerToRegister = (opcode: number, to: number, from: number): number[] => [
  ...rex(true, from, to),
  opcode,
  0xc0 | ((from & 7) << 3) | (to & 7),
];

/** mov r32, imm32 (which clears the upper half), or mov r64, imm64. */
function setRegister(register: number, value: bigint): number[] {
  if (value <= 0xffff_ffffn) return [...rex(false, 0, register), 0xb8 | (register & 7), ...littleEndian(value, 4)];
  return [...rex(true, 0, register), 0xb8 | (register & 7), ...littleEndian(value, 8)];
}

/** An operation with a register or, by way of the scratch register, a number. */
function withOperand(opcode: number, to: number, by: Register | bigint): number[] {
  if (typeof by === "string") return registerToRegister(opcode, to, registers[by]);
  const set = setRegister(scratch, BigInt.asUintN(64, by));
  return [...set, ...registerToRegister(opcode, to, scratch)];
}

function memory(
  { op, size, register, base, offset }: Extract<Instruction, { readonly op: "load" | "store" }>,
  addressOf: (name: string) => number,
): number[] {
  const own = registers[register];
  const holder = typeof base === "string" ? registers[base] : scratch;
  const before = typeof base === "string" ? [] : setRegister(scratch, BigInt(addressOf(base.address)));
  const opcode = op === "load" ? loads[size] : [stores[size]];
  // A byte of rbp is one only behind a REX prefix: without it, its number means ch.
  const named = rex(size === 8, own, holder);
  const prefix = op === "store" && size === 1 && named.length === 0 ? [0x40] : named;
  // mod 01: a displacement of 8 bits; mod 10: of 32. r12 as a base takes a SIB byte (index none, base r12).
  const short = offset >= -128 && offset <= 127;
  const modrm = [(short ? 0x40 : 0x80) | ((own & 7) << 3) | (holder & 7), ...((holder & 7) === rsp ? [0x24] : [])];
  return [
    ...before,
    ...(op === "store" && size === 2 ? [0x66] : []), // operands of 16 bits
    ...prefix,
    ...opcode,
    ...modrm,
    ...littleEndian(BigInt.asUintN(32, BigInt(offset)), short ? 1 : 4),
  ];
}

/** A jump counts from its own end. */
function relative(opcode: number[], to: string, address: number, addressOf: (name: string) => number): number[] {
  const distance = addressOf(to) - (address + opcode.length + 4);
  return [...opcode, ...littleEndian(BigInt.asUintN(32, BigInt(distance)), 4)];
}

const littleEndian = (value: bigint, length: number): number[] =>
  Array.from({ length }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
