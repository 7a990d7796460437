/**
 * The launcher's instructions: what x86-64 and arm64 have in common and a program of this kind needs, no more. A program is
 * a plain list of them; each machine turns one instruction after another into its own code (x86-64.ts, arm64.ts).
 */

/** 64 bits each; they keep their values over system calls, but for `result`, which is the last call's. */
export type Register = "a" | "b" | "c" | "d" | "e" | "f" | "result";

/** The address of a label, a constant or a piece of memory. */
export interface Address {
  readonly address: string;
}
export const at = (name: string): Address => ({ address: name });

/** Bytes. What is loaded is filled up with zeros. */
export type Size = 1 | 2 | 4 | 8;
/** Signed, all 64 bits. */
export type Comparison = "==" | "!=" | "<" | ">=" | ">" | "<=";

export const systemCalls = [
  "close",
  "connect",
  "dup3",
  "execve",
  "exit_group",
  "lseek",
  "memfd_create",
  "openat",
  "ppoll",
  "read",
  "readlinkat",
  "sendmsg",
  "socket",
  "write",
] as const;
export type SystemCall = (typeof systemCalls)[number];
export type Argument = Register | number | Address;

export type Instruction =
  | { readonly op: "label"; readonly name: string }
  /** The stack pointer as the kernel left it: the argument count, then the lists of arguments and variables (the psABIs). */
  | { readonly op: "stack"; readonly to: Register }
  | { readonly op: "set"; readonly to: Register; readonly value: bigint }
  | { readonly op: "address"; readonly to: Register; readonly of: string }
  | { readonly op: "arithmetic"; readonly what: Arithmetic; readonly to: Register; readonly by: Register | bigint }
  | {
      readonly op: "load" | "store";
      readonly size: Size;
      readonly register: Register;
      readonly base: Register | Address;
      /** Bytes, −256 to 255. */
      readonly offset: number;
    }
  | { readonly op: "jump"; readonly to: string }
  | {
      readonly op: "branch";
      readonly left: Register;
      readonly when: Comparison;
      readonly right: Register | bigint;
      readonly to: string;
    }
  /** `result` is what the kernel returns: a negated errno for an error. */
  | { readonly op: "call"; readonly what: SystemCall; readonly arguments: readonly Argument[] };

export type Arithmetic = "move" | "add" | "subtract" | "and" | "or";

export type Program = readonly Instruction[];

const value = (operand: Register | number | bigint): Register | bigint =>
  typeof operand === "number" ? BigInt(operand) : operand;

export const label = (name: string): Instruction => ({ op: "label", name });
export const stack = (to: Register): Instruction => ({ op: "stack", to });
export const set = (to: Register, number: number | bigint | Address): Instruction =>
  typeof number === "object"
    ? { op: "address", to, of: number.address }
    : { op: "set", to, value: BigInt.asUintN(64, BigInt(number)) };
const arithmetic =
  (what: Arithmetic) =>
  (to: Register, by: Register | number | bigint): Instruction => ({ op: "arithmetic", what, to, by: value(by) });
export const move: (to: Register, from: Register) => Instruction = arithmetic("move");
export const add = arithmetic("add");
export const subtract = arithmetic("subtract");
export const and = arithmetic("and");
export const or = arithmetic("or");
export const load = (register: Register, size: Size, base: Register | Address, offset = 0): Instruction => ({
  op: "load",
  size,
  register,
  base,
  offset,
});
export const store = (register: Register, size: Size, base: Register | Address, offset = 0): Instruction => ({
  op: "store",
  size,
  register,
  base,
  offset,
});
export const jump = (to: string): Instruction => ({ op: "jump", to });
export const branch = (
  left: Register,
  when: Comparison,
  right: Register | number | bigint,
  to: string,
): Instruction => ({
  op: "branch",
  left,
  when,
  right: value(right),
  to,
});
export const call = (what: SystemCall, ...args: readonly Argument[]): Instruction => ({
  op: "call",
  what,
  arguments: args,
});

/** Up to eight bytes of text as the number that `load` finds in memory (both machines are little-endian). */
export function word(text: string): bigint {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > 8) throw new RangeError(`"${text}" has more than 8 bytes`);
  return bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}
