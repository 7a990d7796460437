import { expect, test } from "bun:test";
import { fuzz, golden } from "../../../test/support/fuzz.ts";
import { hex } from "../../base/bytes.ts";
import type { LoggedPacket } from "../../objects/nflog.ts";
import { bindLogGroup } from "./config.ts";
import { decodeLoggedPacket, encodeLoggedPacket, isLoggedPacket } from "./packet.ts";

test("golden: listening to a group", () => {
  const request = bindLogGroup({ group: 84, copyRange: 128, queueThreshold: 32, timeout: 10, bufferSize: 65536 });
  expect([request.type, request.flags]).toEqual([0x0401, 4]);
  const bytes = golden(`
    00 00 0054                     // AF_UNSPEC, version 0, group 84
    0500 0100 01 000000            // CMD bind
    0a00 0200 00000080 02 00 0000  // MODE range 128, NFULNL_COPY_PACKET
    0800 0300 00010000             // NLBUFSIZ 65536
    0800 0400 0000000a             // TIMEOUT 100 ms
    0800 0500 00000020             // QTHRESH 32
    0600 0600 0001 0000            // FLAGS sequence numbers
  `);
  expect(hex(request.payload)).toBe(hex(bytes));
});

const forwarded: LoggedPacket = {
  group: 84,
  family: 4,
  hook: 2,
  etherType: 0x0800,
  mark: 0x1234,
  inputDevice: 3,
  outputDevice: 4,
  prefix: "deny",
  sequence: 7,
  payload: golden("4500 001c 0001 0000 40 11 0000 0a010002 0a010003  9c40 0035 0008 0000"),
};

test("golden: a denied packet", () => {
  const bytes = golden(`
    02 00 0054                     // AF_INET, version 0, group 84
    0800 0100 0800 02 00           // PACKET_HDR IPv4, forward
    0900 0a00 64656e79 00 000000   // PREFIX "deny"
    0800 0400 00000003             // IFINDEX_INDEV
    0800 0500 00000004             // IFINDEX_OUTDEV
    0800 0200 00001234             // MARK
    0800 0c00 00000007             // SEQ
    2000 0900                      // PAYLOAD 28 bytes
      4500001c 00010000 40110000 0a010002 0a010003 9c400035 00080000
  `);
  expect(decodeLoggedPacket(bytes)).toEqual(forwarded);
  const { type, payload } = encodeLoggedPacket(forwarded);
  expect(hex(payload)).toBe(hex(bytes));
  expect([isLoggedPacket(type), isLoggedPacket(0x0401), isLoggedPacket(0x0100)]).toEqual([true, false, false]);
});

test("without a header it is corrupt", () => {
  expect(() => decodeLoggedPacket(golden("02000054 0800 0200 00000001"))).toThrow("lacks its header");
});

test("damaged packets", () => {
  const samples: LoggedPacket[] = [
    forwarded,
    { group: 1, family: 6, hook: 3, etherType: 0x86dd, mark: 1, outputDevice: 9, payload: new Uint8Array(48) },
    { group: 65535, hook: 0, etherType: 0x0806, mark: 0, time: 1_700_000_000_123_456n, payload: new Uint8Array(0) },
  ];
  fuzz(
    samples.map((sample) => encodeLoggedPacket(sample).payload),
    decodeLoggedPacket,
    (packet) => encodeLoggedPacket(packet).payload,
  );
});
