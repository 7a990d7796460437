import type { Program } from "./instruction.ts";
import type { Machine } from "./machine.ts";

/** What a program says and where it works. */
export interface Source {
  readonly program: Program;
  /** By name, read-only. */
  readonly constants: Readonly<Record<string, Uint8Array>>;
  /** By name, in bytes: zeros at the start. */
  readonly memory: Readonly<Record<string, number>>;
}

export interface Assembled {
  /** The code, starting with the first instruction, and the constants. */
  readonly text: Uint8Array;
  /** Bytes. */
  readonly memory: number;
  /** For debuggers and tests. */
  readonly addresses: ReadonlyMap<string, number>;
}

export interface Layout {
  /** Address of the first instruction. */
  readonly text: number;
  /** Address of the memory; it must lie behind the text. */
  readonly memory: number;
}

const alignment = 16;
const aligned = (number: number): number => Math.ceil(number / alignment) * alignment;

/** Two passes: one to learn where everything lies, one to say it. @throws RangeError for a name that is missing or said twice. */
export function assemble(machine: Machine, { program, constants, memory }: Source, layout: Layout): Assembled {
  const addresses = new Map<string, number>();
  const define = (name: string, address: number) => {
    if (addresses.has(name)) throw new RangeError(`"${name}" is there twice`);
    addresses.set(name, address);
  };

  let end = layout.text;
  for (const instruction of program) {
    if (instruction.op === "label") define(instruction.name, end);
    end += machine.encode(instruction, end, () => end).length;
  }
  for (const [name, bytes] of Object.entries(constants)) {
    end = aligned(end);
    define(name, end);
    end += bytes.length;
  }
  let memoryEnd = layout.memory;
  for (const [name, size] of Object.entries(memory)) {
    define(name, memoryEnd);
    memoryEnd += aligned(size);
  }

  const addressOf = (name: string): number => {
    const address = addresses.get(name);
    if (address === undefined) throw new RangeError(`there is no "${name}"`);
    return address;
  };
  const text = new Uint8Array(end - layout.text);
  let at = layout.text;
  for (const instruction of program) {
    const code = machine.encode(instruction, at, addressOf);
    text.set(code, at - layout.text);
    at += code.length;
  }
  for (const [name, bytes] of Object.entries(constants)) text.set(bytes, addressOf(name) - layout.text);
  return { text, memory: memoryEnd - layout.memory, addresses };
}
