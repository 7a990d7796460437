import { ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";

/**
 * Netlink attributes (struct nlattr, include/uapi/linux/netlink.h): length (u16, header included, padding not), type (u16),
 * value, padding to 4 bytes. Two bits of the type are flags.
 */
const ATTRIBUTE_HEADER = 4;
/** The value is a list of attributes. rtnetlink's older families do not set it, nf_tables wants it. */
export const NLA_F_NESTED = 0x8000;
/** The value is in network order. */
export const NLA_F_NET_BYTEORDER = 0x4000;
const TYPE_MASK = 0x3fff;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * A cursor over attributes:
 *
 *     const attributes = new AttributeReader(payload, 16);
 *     while (attributes.next()) switch (attributes.type) { case IFLA_MTU: mtu = attributes.u32(); … }
 *
 * Unknown types are passed by; a value of the wrong size throws TwillError `corrupt`, as do lengths that do not fit.
 */
export class AttributeReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Where the list ends. */
  readonly #limit: number;
  #next: number;
  #value = 0;
  #end = 0;
  #type = 0;

  /**
   * @param offset length of the family header before the first attribute.
   * @param outer the reader whose current value is read as a list: see `nested`.
   */
  constructor(bytes: Uint8Array, offset = 0, outer?: AttributeReader) {
    this.#bytes = bytes;
    // A list inside a list is a part of the same bytes: views are dear to make, and events have a dozen lists each.
    this.#view = outer === undefined ? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) : outer.#view;
    const start = outer === undefined ? 0 : outer.#value;
    this.#limit = outer === undefined ? bytes.length : outer.#end;
    this.#next = start + offset;
    if (this.#next > this.#limit) {
      throw new TwillError("corrupt", `a header of ${offset} bytes does not fit into ${this.#limit - start}`);
    }
  }

  /** Moves to the next attribute; false at the end. */
  next(): boolean {
    const start = this.#next;
    const rest = this.#limit - start;
    // Fewer than four bytes at the end are padding, as in the kernel's nla_ok().
    if (rest < ATTRIBUTE_HEADER) return false;
    const length = this.#view.getUint16(start, true);
    if (length < ATTRIBUTE_HEADER || length > rest) {
      throw new TwillError("corrupt", `an attribute of ${length} bytes at offset ${start} of ${this.#limit}`);
    }
    this.#type = this.#view.getUint16(start + 2, true);
    this.#value = start + ATTRIBUTE_HEADER;
    this.#end = start + length;
    this.#next = start + ((length + 3) & ~3);
    return true;
  }

  /** Without the flag bits. */
  get type(): number {
    return this.#type & TYPE_MASK;
  }
  get length(): number {
    return this.#end - this.#value;
  }
  get isNested(): boolean {
    return (this.#type & NLA_F_NESTED) !== 0;
  }
  get isNetworkOrder(): boolean {
    return (this.#type & NLA_F_NET_BYTEORDER) !== 0;
  }

  #sized(size: number): number {
    if (this.length !== size) {
      throw new TwillError("corrupt", `attribute ${this.type} has ${this.length} bytes instead of ${size}`);
    }
    return this.#value;
  }

  u8(): number {
    return this.#view.getUint8(this.#sized(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#sized(2), true);
  }
  u16be(): number {
    return this.#view.getUint16(this.#sized(2), false);
  }
  u32(): number {
    return this.#view.getUint32(this.#sized(4), true);
  }
  u32be(): number {
    return this.#view.getUint32(this.#sized(4), false);
  }
  i32(): number {
    return this.#view.getInt32(this.#sized(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#sized(8), true);
  }
  u64be(): bigint {
    return this.#view.getBigUint64(this.#sized(8), false);
  }
  /** Up to the first NUL; the kernel ends most strings with one, but not all. */
  string(): string {
    const value = this.bytes();
    const end = value.indexOf(0);
    return decoder.decode(end < 0 ? value : value.subarray(0, end));
  }
  /** A view, not a copy. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.#value, this.#end);
  }
  /** The value as attributes of their own, after `offset` bytes of a header. */
  nested(offset = 0): AttributeReader {
    return new AttributeReader(this.#bytes, offset, this);
  }
}

/** Appends attributes to a ByteWriter, each padded. Values longer than 65,531 bytes throw TwillError `internal`. */
export class AttributeWriter {
  readonly bytes: ByteWriter;

  /** @param bytes where to append; family header already written. */
  constructor(bytes: ByteWriter = new ByteWriter()) {
    this.bytes = bytes;
  }

  flag(type: number): this {
    this.bytes.u16(ATTRIBUTE_HEADER).u16(type);
    return this;
  }
  u8(type: number, value: number): this {
    this.bytes.u16(5).u16(type).u8(value).zero(3);
    return this;
  }
  u16(type: number, value: number): this {
    this.bytes.u16(6).u16(type).u16(value).zero(2);
    return this;
  }
  u16be(type: number, value: number): this {
    this.bytes.u16(6).u16(type).u16be(value).zero(2);
    return this;
  }
  u32(type: number, value: number): this {
    this.bytes.u16(8).u16(type).u32(value);
    return this;
  }
  u32be(type: number, value: number): this {
    this.bytes.u16(8).u16(type).u32be(value);
    return this;
  }
  i32(type: number, value: number): this {
    this.bytes.u16(8).u16(type).i32(value);
    return this;
  }
  u64(type: number, value: bigint): this {
    this.bytes.u16(12).u16(type).u64(value);
    return this;
  }
  u64be(type: number, value: bigint): this {
    this.bytes.u16(12).u16(type).u64be(value);
    return this;
  }
  raw(type: number, value: Uint8Array): this {
    this.bytes
      .u16(ATTRIBUTE_HEADER + value.length)
      .u16(type)
      .raw(value)
      .zero(-value.length & 3);
    return this;
  }
  /** With the NUL that the kernel's NLA_NUL_STRING wants. */
  string(type: number, value: string): this {
    return this.raw(type, encoder.encode(`${value}\0`));
  }
  /** What `write` appends becomes the value. Pass `type | NLA_F_NESTED` where the family wants the flag. */
  nested(type: number, write: (inner: this) => void): this {
    const start = this.bytes.length;
    this.bytes.u16(0).u16(type);
    write(this);
    this.bytes.patchU16(start, this.bytes.length - start);
    return this;
  }
  /** As ByteWriter.bytes: a copy. */
  finish(): Uint8Array {
    return this.bytes.bytes();
  }
}
