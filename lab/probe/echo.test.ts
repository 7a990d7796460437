import { expect, test } from "bun:test";
import { fromHex, hex } from "../../src/base/bytes.ts";
import { seededRandom } from "../../src/base/random.ts";
import { decodeEchoReply, encodeEchoRequest, internetChecksum } from "./echo.ts";

test("an echo request as RFC 792 wants it: checksum over the whole message is right when it sums to zero", () => {
  const request = encodeEchoRequest(4, { identifier: 0x1234, sequence: 7 });
  expect(hex(request.subarray(0, 2))).toBe("0800");
  expect(hex(request.subarray(4, 8))).toBe("12340007");
  expect(internetChecksum(request)).toBe(0);
  expect(hex(encodeEchoRequest(6, { identifier: 1, sequence: 1 }).subarray(0, 8))).toBe("8000000000010001");
});

test("replies are told from requests and from other packets, with the IPv4 header in front", () => {
  const header = fromHex("4500001c 00000000 40010000 0a000001 0a000002");
  const reply = fromHex("0000 0000 1234 0007");
  expect(decodeEchoReply(4, Uint8Array.of(...header, ...reply))).toEqual({ identifier: 0x1234, sequence: 7 });
  expect(decodeEchoReply(6, fromHex("8100 0000 1234 0007"))).toEqual({ identifier: 0x1234, sequence: 7 });
  expect(decodeEchoReply(4, Uint8Array.of(...header, ...fromHex("0800 0000 1234 0007")))).toBeUndefined();
});

test("random packets never throw", () => {
  const random = seededRandom(42);
  for (let round = 0; round < 5000; round++) {
    decodeEchoReply(random.below(2) === 0 ? 4 : 6, random.bytes(random.below(64)));
  }
});
