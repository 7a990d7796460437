import type { Instruction } from "./instruction.ts";

/** A processor architecture, as far as the launcher needs it. */
export interface Machine {
  /** ELF's e_machine (include/uapi/linux/elf-em.h). */
  readonly elf: number;
  /**
   * The code of one instruction at this address.
   * @param addressOf of a label, constant or piece of memory, below 2³². Its value never changes the code's length.
   * @throws RangeError for what this machine cannot express (an offset too large).
   */
  encode(instruction: Instruction, address: number, addressOf: (name: string) => number): Uint8Array;
}
