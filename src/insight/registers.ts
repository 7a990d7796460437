/** The 64 bytes in which the expressions of a rule hand values to each other, in words of four; some not known to a model. */
export class Registers {
  readonly #bytes = new Uint8Array(64);
  /** A bit a word. */
  #known = 0;

  /** A value fills whole words: the kernel zeroes what is left of the last (nft_payload_eval and others). */
  load(to: number, value: Uint8Array | undefined): void {
    const words = value === undefined ? 4 : Math.ceil(value.length / 4);
    const mask = ((1 << words) - 1) << to;
    if (value === undefined) {
      this.#known &= ~mask;
      return;
    }
    this.#known |= mask;
    this.#bytes.fill(0, to * 4, (to + words) * 4);
    this.#bytes.set(value, to * 4);
  }

  /** Undefined: not known. */
  read(from: number, length: number): Uint8Array | undefined {
    const mask = ((1 << Math.ceil(length / 4)) - 1) << from;
    return (this.#known & mask) === mask ? this.#bytes.subarray(from * 4, from * 4 + length) : undefined;
  }
}
