import { expect, test } from "bun:test";
import { golden } from "../../../test/support/fuzz.ts";
import { isCode } from "../../base/errors.ts";
import { AttributeReader, AttributeWriter, NLA_F_NESTED, NLA_F_NET_BYTEORDER } from "./attributes.ts";

const bytes = golden(`
  0500 0100 07000000             // u8 7, padded
  0600 0200 3412 0000            // u16 0x1234, padded
  0600 0300 1234 0000            // u16 0x1234 in network order
  0800 0400 78563412             // u32 0x12345678
  0800 0500 12345678             // the same in network order
  0c00 0600 8877665544332211     // u64
  0c00 0700 1122334455667788     // u64 in network order
  0700 0800 6162 00 00           // "ab", NUL, padded
  0400 0900                      // a flag
  0800 0a00 feffffff             // i32 -2
  1000 0b80                      // nested, NLA_F_NESTED
    0400 0100                    //   a flag
    0800 0240 00000001           //   u32 1, NLA_F_NET_BYTEORDER
`);

function write(): Uint8Array {
  return new AttributeWriter()
    .u8(1, 7)
    .u16(2, 0x1234)
    .u16be(3, 0x1234)
    .u32(4, 0x12345678)
    .u32be(5, 0x12345678)
    .u64(6, 0x1122334455667788n)
    .u64be(7, 0x1122334455667788n)
    .string(8, "ab")
    .flag(9)
    .i32(10, -2)
    .nested(11 | NLA_F_NESTED, (inner) => inner.flag(1).u32be(2 | NLA_F_NET_BYTEORDER, 1))
    .finish();
}

test("every kind of value is written byte for byte", () => {
  expect(write()).toEqual(bytes);
});

test("and read back, flags of the type apart", () => {
  const attributes = new AttributeReader(bytes);
  const values: unknown[] = [];
  const read = [
    () => attributes.u8(),
    () => attributes.u16(),
    () => attributes.u16be(),
    () => attributes.u32(),
    () => attributes.u32be(),
    () => attributes.u64(),
    () => attributes.u64be(),
    () => attributes.string(),
    () => attributes.length,
    () => attributes.i32(),
    () => [attributes.isNested, attributes.isNetworkOrder],
  ];
  for (const each of read) {
    expect(attributes.next()).toBe(true);
    values.push(each());
  }
  expect(values.slice(0, 5)).toEqual([7, 0x1234, 0x1234, 0x12345678, 0x12345678]);
  expect(values.slice(5)).toEqual([0x1122334455667788n, 0x1122334455667788n, "ab", 0, -2, [true, false]]);
  expect(attributes.type).toBe(11);
  const inner = attributes.nested();
  expect([
    inner.next(),
    inner.type,
    inner.next(),
    inner.type,
    inner.isNetworkOrder,
    inner.u32be(),
    inner.next(),
  ]).toEqual([true, 1, true, 2, true, 1, false]);
  expect(attributes.next()).toBe(false);
});

test("lengths that do not fit and values of the wrong size are corrupt", () => {
  const corrupt = (work: () => unknown) => {
    try {
      work();
      return false;
    } catch (error) {
      return isCode(error, "corrupt");
    }
  };
  expect(corrupt(() => new AttributeReader(golden("0300 0100")).next())).toBe(true);
  expect(corrupt(() => new AttributeReader(golden("0900 0100 00000000")).next())).toBe(true);
  expect(corrupt(() => new AttributeReader(golden("0000"), 3))).toBe(true);
  const wrong = new AttributeReader(golden("0600 0100 0000 0000"));
  wrong.next();
  expect(corrupt(() => wrong.u32())).toBe(true);
  // Less than a header at the end is padding.
  expect(new AttributeReader(golden("000000")).next()).toBe(false);
});

test("a value too long for its length field is refused, not wrapped", () => {
  expect(() => new AttributeWriter().raw(1, new Uint8Array(65532))).toThrow("does not fit");
  expect(() => new AttributeWriter().nested(1, (inner) => inner.bytes.zero(65532))).toThrow("does not fit");
});
