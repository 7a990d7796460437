import { EM_AARCH64 } from "../../../src/wire/elf.ts";
import type { Argument, Arithmetic, Comparison, Instruction, Register, SystemCall } from "./instruction.ts";
import type { Machine } from "./machine.ts";

/**
 * AArch64: Arm Architecture Reference Manual (DDI 0487), chapter C6; numbers of system calls in the kernel's
 * include/uapi/asm-generic/unistd.h. Every instruction has 32 bits; numbers and addresses take the scratch register.
 */
const numbers = {
  close: 57,
  connect: 203,
  dup3: 24,
  execve: 221,
  exit_group: 94,
  lseek: 62,
  memfd_create: 279,
  openat: 56,
  ppoll: 73,
  read: 63,
  readlinkat: 78,
  sendmsg: 211,
  socket: 198,
  write: 64,
} as const satisfies Readonly<Record<SystemCall, number>>;

/** x19 to x25: the kernel changes x0 only, which is copied, for it is the next call's first argument. */
const registers: Readonly<Record<Register, number>> = { a: 19, b: 20, c: 21, d: 22, e: 23, f: 24, result: 25 };
const scratch = 9;
const callNumber = 8;
/** As a source of most instructions, zero; of ADD (immediate), the stack pointer. */
const zero = 31;

/** Shifted register, 64 bits: Rd, Rn, Rm. */
const ADD = 0x8b000000;
const SUB = 0xcb000000;
const AND = 0x8a000000;
const ORR = 0xaa000000;
const SUBS = 0xeb000000;
const arithmeticOpcodes: Readonly<Record<Exclude<Arithmetic, "move">, number>> = {
  add: ADD,
  subtract: SUB,
  and: AND,
  or: ORR,
};
/** ADD (immediate) of 0: how the stack pointer is read. */
const ADD_IMMEDIATE = 0x91000000;
const MOVZ = 0xd2800000;
const MOVK = 0xf2800000;
/** LDUR and STUR, which take any offset of 9 bits; the size's logarithm stands above. */
const LDUR = 0x38400000;
const STUR = 0x38000000;
const B = 0x14000000;
const B_CONDITION = 0x54000000;
const SVC = 0xd4000001;
const conditions: Readonly<Record<Comparison, number>> = { "==": 0, "!=": 1, ">=": 10, "<": 11, ">": 12, "<=": 13 };
const sizes = { 1: 0, 2: 1, 4: 2, 8: 3 } as const;

export const arm64: Machine = {
  elf: EM_AARCH64,
  encode: (instruction, address, addressOf) =>
    new Uint8Array(new Uint32Array(encode(instruction, address, addressOf)).buffer),
};

function encode(instruction: Instruction, address: number, addressOf: (name: string) => number): number[] {
  switch (instruction.op) {
    case "label":
      return [];
    case "stack":
      return [ADD_IMMEDIATE | (zero << 5) | registers[instruction.to]];
    case "set":
      return setRegister(registers[instruction.to], instruction.value);
    case "address":
      return setAddress(registers[instruction.to], addressOf(instruction.of));
    case "arithmetic": {
      const to = registers[instruction.to];
      const { before, register } = operand(instruction.by);
      if (instruction.what === "move") return [...before, moveRegister(to, register)];
      return [...before, threeRegisters(arithmeticOpcodes[instruction.what], to, to, register)];
    }
    case "load":
    case "store": {
      const { op, size, register, base, offset } = instruction;
      if (offset < -256 || offset > 255) throw new RangeError(`an offset of ${offset} bytes`);
      const before = typeof base === "string" ? [] : setAddress(scratch, addressOf(base.address));
      const holder = typeof base === "string" ? registers[base] : scratch;
      const opcode = (op === "load" ? LDUR : STUR) | (sizes[size] << 30) | ((offset & 0x1ff) << 12);
      return [...before, opcode | (holder << 5) | registers[register]];
    }
    case "jump":
      return [B | (words(instruction.to, address, addressOf) & 0x3ffffff)];
    case "branch": {
      const { before, register } = operand(instruction.right);
      const compare = [...before, threeRegisters(SUBS, zero, registers[instruction.left], register)];
      const distance = words(instruction.to, address + 4 * compare.length, addressOf);
      return [...compare, B_CONDITION | ((distance & 0x7ffff) << 5) | conditions[instruction.when]];
    }
    case "call":
      return [
        ...instruction.arguments.flatMap((argument, index) => passArgument(index, argument, addressOf)),
        ...setRegister(callNumber, BigInt(numbers[instruction.what])),
        SVC,
        moveRegister(registers.result, 0),
      ];
  }
}

function passArgument(index: number, argument: Argument, addressOf: (name: string) => number): number[] {
  if (index > 5) throw new RangeError("a system call has at most six arguments");
  if (typeof argument === "string") return [moveRegister(index, registers[argument])];
  if (typeof argument === "object") return setAddress(index, addressOf(argument.address));
  return setRegister(index, BigInt.asUintN(64, BigInt(argument)));
}

const threeRegisters = (opcode: number, to: number, left: number, right: number): number =>
  opcode | (right << 16) | (left << 5) | to;

const moveRegister = (to: number, from: number): number => threeRegisters(ORR, to, zero, from);

function operand(by: Register | bigint): { readonly before: number[]; readonly register: number } {
  if (typeof by === "string") return { before: [], register: registers[by] };
  return { before: setRegister(scratch, BigInt.asUintN(64, by)), register: scratch };
}

/** 16 bits at a time; those that are zero need no instruction. */
function setRegister(register: number, value: bigint): number[] {
  const parts = [0, 1, 2, 3]
    .map((index) => ({ index, bits: Number((value >> BigInt(16 * index)) & 0xffffn) }))
    .filter(({ bits, index }) => bits !== 0 || index === 0);
  return parts.map(({ index, bits }, place) => (place === 0 ? MOVZ : MOVK) | (index << 21) | (bits << 5) | register);
}

/** Below 2³², always of the same length, for addresses are known last. */
const setAddress = (register: number, address: number): number[] => [
  MOVZ | ((address & 0xffff) << 5) | register,
  MOVK | (1 << 21) | ((address >>> 16) << 5) | register,
];

/** A jump counts from itself, in instructions. */
const words = (to: string, address: number, addressOf: (name: string) => number): number =>
  (addressOf(to) - address) / 4;
