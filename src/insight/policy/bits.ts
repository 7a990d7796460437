/** A set of small numbers, 32 to a word. All sets of one `Universe` have its length. */
export type Bits = Uint32Array;

export const emptyBits = (size: number): Bits => new Uint32Array((size + 31) >>> 5);

export function bitsWhere(size: number, holds: (index: number) => boolean): Bits {
  const bits = emptyBits(size);
  for (let index = 0; index < size; index++) if (holds(index)) addBit(bits, index);
  return bits;
}

export function addBit(bits: Bits, index: number): void {
  bits[index >>> 5] = (bits[index >>> 5] ?? 0) | (1 << (index & 31));
}

export const hasBit = (bits: Bits, index: number): boolean => (((bits[index >>> 5] ?? 0) >>> (index & 31)) & 1) === 1;

// Plain loops: these are the innermost of all, and typed arrays' own map is ten times as slow.
export function bitsAnd(a: Bits, b: Bits): Bits {
  const result = new Uint32Array(a.length);
  for (let at = 0; at < result.length; at++) result[at] = (a[at] ?? 0) & (b[at] ?? 0);
  return result;
}

export function bitsOr(a: Bits, b: Bits): Bits {
  const result = new Uint32Array(a.length);
  for (let at = 0; at < result.length; at++) result[at] = (a[at] ?? 0) | (b[at] ?? 0);
  return result;
}

export function bitsMinus(a: Bits, b: Bits): Bits {
  const result = new Uint32Array(a.length);
  for (let at = 0; at < result.length; at++) result[at] = (a[at] ?? 0) & ~(b[at] ?? 0);
  return result;
}

export function isEmpty(bits: Bits): boolean {
  for (let at = 0; at < bits.length; at++) if (bits[at] !== 0) return false;
  return true;
}

export function eachBit(bits: Bits, visit: (index: number) => void): void {
  for (let at = 0; at < bits.length; at++) {
    let word = bits[at] ?? 0;
    while (word !== 0) {
      const low = word & -word;
      visit(at * 32 + (31 - Math.clz32(low)));
      word ^= low;
    }
  }
}

export function bitList(bits: Bits): number[] {
  const found: number[] = [];
  eachBit(bits, (index) => found.push(index));
  return found;
}

/** Equal sets of one universe, equal texts. */
export const bitsKey = (bits: Bits): string =>
  Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength).toString("latin1");
