import { expect, test } from "bun:test";
import { ByteReader, ByteWriter, fromHex, hex } from "./bytes.ts";
import { isCode } from "./errors.ts";

test("what is written is read back, in the byte order that the name says", () => {
  const writer = new ByteWriter(2);
  writer.u8(1).u16(0x0203).u16be(0x0203).u32(0x04050607).u32be(0x04050607).i32(-2).u64(8n).u64be(8n).align(4);
  expect(hex(writer.view())).toBe(
    "010302020307060504" + "04050607" + "feffffff" + "0800000000000000" + "0000000000000008" + "000000",
  );
  const reader = new ByteReader(writer.bytes());
  expect([reader.u8(), reader.u16(), reader.u16be(), reader.u32(), reader.u32be()]).toEqual([
    1, 0x0203, 0x0203, 0x04050607, 0x04050607,
  ]);
  expect([reader.i32(), reader.u64(), reader.u64be(), reader.remaining]).toEqual([-2, 8n, 8n, 3]);
});

test("reading past the end is corrupt data, never a wrong number", () => {
  const reader = new ByteReader(new Uint8Array(3));
  let caught: unknown;
  try {
    reader.u32();
  } catch (error) {
    caught = error;
  }
  expect(isCode(caught, "corrupt")).toBe(true);
  expect(reader.offset).toBe(0);
  expect(() => reader.take(4)).toThrow("4 bytes wanted");
});

test("a number that does not fit its field is refused", () => {
  const writer = new ByteWriter();
  expect(() => writer.u8(256)).toThrow("does not fit");
  expect(() => writer.u16(-1)).toThrow("does not fit");
  expect(() => writer.u32(2 ** 32)).toThrow("does not fit");
  expect(() => writer.u32(1.5)).toThrow("does not fit");
});

test("growing zeroes old content after a reset", () => {
  const writer = new ByteWriter(4);
  writer.u32(0xffffffff).reset();
  writer.zero(4);
  expect(hex(writer.view())).toBe("00000000");
});

test("hex", () => {
  expect(fromHex("0a 0B\n0c")).toEqual(Uint8Array.of(10, 11, 12));
  expect(() => fromHex("0g")).toThrow("not hex");
});
