import { expect, test } from "bun:test";
import { readElf } from "../../../src/wire/elf.ts";
import { arm64 } from "./arm64.ts";
import { assemble } from "./assemble.ts";
import { executableFile } from "./executable-file.ts";
import {
  add,
  and,
  at,
  branch,
  call,
  type Instruction,
  jump,
  label,
  load,
  move,
  or,
  set,
  stack,
  store,
  subtract,
} from "./instruction.ts";
import { launcherFile } from "./launcher.ts";
import { source } from "./program.ts";
import { x8664 } from "./x86-64.ts";

/** The instruction stands at 0x400100. */
const address = 0x400100;
const addresses: Readonly<Record<string, number>> = { here: 0x400080, ahead: 0x400200, memory: 0x41f0e8 };
const addressOf = (name: string): number => addresses[name] ?? Number.NaN;

/** An instruction, and its code on x86-64 and arm64. Above it what objdump (binutils 2.40) reads in that code. */
const golden: readonly (readonly [Instruction, string, string])[] = [
  // mov %rsp,%rbx
  // mov x19, sp
  [stack("a"), "4889e3", "f3030091"],
  // mov $0x7,%r12d
  // mov x21, #0x7
  [set("c", 7), "41bc07000000", "f50080d2"],
  // mov $0x0,%ebx
  // mov x19, #0x0
  [set("a", 0), "bb00000000", "130080d2"],
  // movabs $0xfffffffffffffffc,%r15
  // mov x24, #0xfffc; movk x24, #0xffff, lsl #16; movk x24, #0xffff, lsl #32; movk x24, #0xffff, lsl #48
  [set("f", -4), "49bffcffffffffffffff", "98ff9fd2f8ffbff2f8ffdff2f8fffff2"],
  // movabs $0x123400005678,%rbp
  // mov x20, #0x5678; movk x20, #0x1234, lsl #32
  [set("b", 0x1234_0000_5678n), "48bd7856000034120000", "14cf8ad29446c2f2"],
  // mov $0x41f0e8,%r13d
  // mov x22, #0xf0e8; movk x22, #0x41, lsl #16
  [set("d", at("memory")), "41bde8f04100", "161d9ed23608a0f2"],
  // mov %rax,%r14
  // mov x23, x25
  [move("e", "result"), "4989c6", "f70319aa"],
  // mov $0x18,%ecx; add %rcx,%rbx
  // mov x9, #0x18; add x19, x19, x9
  [add("a", 24), "b9180000004801cb", "090380d27302098b"],
  // add %r13,%r12
  // add x21, x21, x22
  [add("c", "d"), "4d01ec", "b502168b"],
  // sub %rax,%rbp
  // sub x20, x20, x25
  [subtract("b", "result"), "4829c5", "940219cb"],
  // mov $0xffffffff,%ecx; and %rcx,%r14
  // mov x9, #0xffff; movk x9, #0xffff, lsl #16; and x23, x23, x9
  [and("e", 0xffffffff), "b9ffffffff4921ce", "e9ff9fd2e9ffbff2f702098a"],
  // mov $0x20,%ecx; or %rcx,%r13
  // mov x9, #0x20; orr x22, x22, x9
  [or("d", 32), "b9200000004909cd", "090480d2d60209aa"],
  // movzbl 0x0(%rbx),%r12d
  // ldurb w21, [x19]
  [load("c", 1, "a"), "440fb66300", "75024038"],
  // movzwl 0x8(%rbp),%r14d
  // ldurh w23, [x20, #8]
  [load("e", 2, "b", 8), "440fb77508", "97824078"],
  // mov -0x1(%r15),%ebx
  // ldur w19, [x24, #-1]
  [load("a", 4, "f", -1), "418b5fff", "13f35fb8"],
  // mov 0xc8(%r12),%rax
  // ldur x25, [x21, #200]
  [load("result", 8, "c", 200), "498b8424c8000000", "b9824cf8"],
  // mov $0x41f0e8,%ecx; mov 0x10(%rcx),%rbp
  // mov x9, #0xf0e8; movk x9, #0x41, lsl #16; ldur x20, [x9, #16]
  [load("b", 8, at("memory"), 16), "b9e8f04100488b6910", "091d9ed22908a0f2340141f8"],
  // mov %bpl,0x0(%rbx)
  // sturb w20, [x19]
  [store("b", 1, "a"), "40886b00", "74020038"],
  // mov %r13w,0x4(%r14)
  // sturh w22, [x23, #4]
  [store("d", 2, "e", 4), "6645896e04", "f6420078"],
  // mov %r15d,-0xc8(%r12)
  // stur w24, [x21, #-200]
  [store("f", 4, "c", -200), "4589bc2438ffffff", "b88213b8"],
  // mov $0x41f0e8,%ecx; mov %rax,0x0(%rcx)
  // mov x9, #0xf0e8; movk x9, #0x41, lsl #16; stur x25, [x9]
  [store("result", 8, at("memory")), "b9e8f0410048894100", "091d9ed22908a0f2390100f8"],
  // jmp …
  // b …
  [jump("here"), "e97bffffff", "e0ffff17"],
  // cmp %r13,%r12; je …
  // cmp x21, x22; b.eq …
  [branch("c", "==", "d", "ahead"), "4d39ec0f84f7000000", "bf0216ebe0070054"],
  // mov $0x1,%ecx; cmp %rcx,%rbx; jne …
  // mov x9, #0x1; cmp x19, x9; b.ne …
  [branch("a", "!=", 1, "here"), "b9010000004839cb0f8572ffffff", "290080d27f0209ebc1fbff54"],
  // movabs $0xfffffffffffffffc,%rcx; cmp %rcx,%rax; jl …
  // mov x9, #0xfffc; movk x9, #0xffff, lsl #16; movk x9, #0xffff, lsl #32; movk x9, #0xffff, lsl #48; cmp x25, x9; b.lt …
  [
    branch("result", "<", -4, "ahead"),
    "48b9fcffffffffffffff4839c80f8ced000000",
    "89ff9fd2e9ffbff2e9ffdff2e9fffff23f0309eb6b070054",
  ],
  // cmp %rbp,%rbx; jge …
  // cmp x19, x20; b.ge …
  [branch("a", ">=", "b", "ahead"), "4839eb0f8df7000000", "7f0214ebea070054"],
  // cmp %rbp,%rbx; jg …
  // cmp x19, x20; b.gt …
  [branch("a", ">", "b", "ahead"), "4839eb0f8ff7000000", "7f0214ebec070054"],
  // cmp %rbp,%rbx; jle …
  // cmp x19, x20; b.le …
  [branch("a", "<=", "b", "ahead"), "4839eb0f8ef7000000", "7f0214ebed070054"],
  // mov $0x1,%edi; mov %rbx,%rsi; mov $0x41f0e8,%edx; mov $0x1,%eax; syscall
  // mov x0, #0x1; mov x1, x19; mov x2, #0xf0e8; movk x2, #0x41, lsl #16; mov x8, #0x40; svc #0x0; mov x25, x0
  [
    call("write", 1, "a", at("memory")),
    "bf010000004889debae8f04100b8010000000f05",
    "200080d2e10313aa021d9ed22208a0f2080880d2010000d4f90300aa",
  ],
  // mov %rax,%rdi; mov $0x41f0e8,%esi; mov $0x4000,%edx; mov $0x2e,%eax; syscall
  // mov x0, x25; mov x1, #0xf0e8; movk x1, #0x41, lsl #16; mov x2, #0x4000; mov x8, #0xd3; svc #0x0; mov x25, x0
  [
    call("sendmsg", "result", at("memory"), 0x4000),
    "4889c7bee8f04100ba00400000b82e0000000f05",
    "e00319aa011d9ed22108a0f2020088d2681a80d2010000d4f90300aa",
  ],
  // mov %rbx,%rdi; mov $0x1,%esi; mov %rbp,%rdx; mov $0x0,%r10d; mov $0x8,%r8d; mov %r15,%r9; mov $0x10f,%eax; syscall
  // mov x0, x19; mov x1, #0x1; mov x2, x20; mov x3, #0x0; mov x4, #0x8; mov x5, x24; mov x8, #0x49; svc #0x0; mov x25, x0
  [
    call("ppoll", "a", 1, "b", 0, 8, "f"),
    "4889dfbe010000004889ea41ba0000000041b8080000004d89f9b80f0100000f05",
    "e00313aa210080d2e20314aa030080d2040180d2e50318aa280980d2010000d4f90300aa",
  ],
];

test("each form of each instruction is the code that a disassembler reads as meant", () => {
  for (const [instruction, x86, arm] of golden) {
    expect([instruction, x8664.encode(instruction, address, addressOf).toHex()]).toEqual([instruction, x86]);
    expect([instruction, arm64.encode(instruction, address, addressOf).toHex()]).toEqual([instruction, arm]);
  }
});

test("no code's length depends on where a name lies, so two passes are enough", () => {
  for (const machine of [x8664, arm64])
    for (const [instruction] of golden) {
      const lengths = [0x10000, 0x400100, 0x7fff_fffc].map(
        (where) => machine.encode(instruction, address, () => where).length,
      );
      expect(new Set(lengths).size).toBe(1);
    }
});

test("what cannot be said is refused: an unknown name, one said twice, an offset beyond arm64's", () => {
  const layout = { text: 0x400000, memory: 0x410000 };
  const program = (...instructions: Instruction[]) => ({ program: instructions, constants: {}, memory: {} });
  expect(() => assemble(x8664, program(jump("nowhere")), layout)).toThrow('there is no "nowhere"');
  expect(() => assemble(x8664, program(label("a"), label("a")), layout)).toThrow('"a" is there twice');
  expect(() => arm64.encode(load("a", 8, "b", 256), address, addressOf)).toThrow(RangeError);
  expect(() => launcherFile("riscv64")).toThrow("there is no CNI launcher for riscv64");
});

test("the file: static, small, code that is not written to and memory that is not executed", () => {
  for (const machine of [x8664, arm64]) {
    const bytes = executableFile(machine, source);
    expect(bytes.length).toBeLessThan(4096);
    const elf = readElf({ size: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) });
    expect(elf).toMatchObject({ machine: machine.elf, interpreter: undefined, needed: [] });
    const view = new DataView(bytes.buffer);
    const flags = [0, 1, 2].map((index) => view.getUint32(64 + 56 * index + 4, true));
    expect(flags).toEqual([5, 6, 6]); // R-X; RW-; the stack, RW-
    // The kernel wants offset and address to agree within a page, of whatever size.
    for (const index of [0, 1]) expect(view.getBigUint64(64 + 56 * index + 16, true) % 0x10000n).toBe(0n);
  }
});
