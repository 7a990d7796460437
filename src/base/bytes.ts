import { TwillError } from "./errors.ts";

/**
 * A bounds-checked cursor over bytes. Reading past the end throws TwillError `corrupt`, never undefined behaviour.
 * Names say the byte order: `be` is network order, the others host order (little-endian: x86-64 and arm64, checked below).
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#offset;
  }
  get remaining(): number {
    return this.bytes.length - this.#offset;
  }

  #take(count: number): number {
    if (count < 0 || count > this.remaining) {
      throw new TwillError("corrupt", `${count} bytes wanted at offset ${this.#offset} of ${this.bytes.length}`);
    }
    const start = this.#offset;
    this.#offset += count;
    return start;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u16be(): number {
    return this.#view.getUint16(this.#take(2), false);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  u32be(): number {
    return this.#view.getUint32(this.#take(4), false);
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  u64be(): bigint {
    return this.#view.getBigUint64(this.#take(8), false);
  }
  skip(count: number): void {
    this.#take(count);
  }
  /** A view on the next bytes, not a copy. */
  take(count: number): Uint8Array {
    const start = this.#take(count);
    return this.bytes.subarray(start, start + count);
  }
}

/** A growing buffer. Numbers that do not fit their field throw TwillError `internal`: a silent wrap would reach the kernel. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    // The buffer first: to ask a small array for its buffer makes JavaScriptCore move the array's bytes into one.
    const buffer = new ArrayBuffer(capacity);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  get length(): number {
    return this.#length;
  }

  #grow(count: number): number {
    const start = this.#length;
    const needed = start + count;
    if (needed > this.#bytes.length) {
      const buffer = new ArrayBuffer(Math.max(needed, this.#bytes.length * 2));
      const larger = new Uint8Array(buffer);
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
      this.#view = new DataView(buffer);
    }
    this.#length = needed;
    return start;
  }

  u8(value: number): this {
    check(value, 0xff);
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    check(value, 0xffff);
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u16be(value: number): this {
    check(value, 0xffff);
    const at = this.#grow(2);
    this.#view.setUint16(at, value, false);
    return this;
  }
  u32(value: number): this {
    check(value, 0xffffffff);
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  u32be(value: number): this {
    check(value, 0xffffffff);
    const at = this.#grow(4);
    this.#view.setUint32(at, value, false);
    return this;
  }
  i32(value: number): this {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
    return this;
  }
  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }
  u64be(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, false);
    return this;
  }
  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }
  zero(count: number): this {
    const at = this.#grow(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }
  /** Zeros up to a multiple of `boundary`. */
  align(boundary: number): this {
    return this.zero((boundary - (this.#length % boundary)) % boundary);
  }
  /** Overwrites two bytes already written, host order: for lengths known only afterwards. */
  patchU16(at: number, value: number): void {
    check(value, 0xffff);
    this.#view.setUint16(at, value, true);
  }
  patchU32(at: number, value: number): void {
    check(value, 0xffffffff);
    this.#view.setUint32(at, value, true);
  }
  /** The bytes written so far, as a view that the next write may detach from. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
  /** The bytes written so far, as a copy. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
  reset(): void {
    this.#length = 0;
  }
}

function check(value: number, maximum: number): void {
  if (!Number.isInteger(value) || value < 0 || value > maximum) {
    throw new TwillError("internal", `${value} does not fit 0 to ${maximum}`);
  }
}

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
  throw new TwillError("unsupported", "Twill runs on little-endian machines only (x86-64, arm64)");
}

export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Hex digits, white space ignored. @throws TwillError `invalid`. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits))
    throw new TwillError("invalid", `"${text}" is not hex`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}
