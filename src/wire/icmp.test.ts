import { expect, test } from "bun:test";
import { golden } from "../../test/support/fuzz.ts";
import type { Address } from "../base/address.ts";
import { seededRandom } from "../base/random.ts";
import { decodeEchoOutcome, encodeEchoRequest } from "./icmp.ts";

const ipv4Header = (protocol: string) => `45 00 0054 0000 4000 40 ${protocol} 0000 c0a80101 c0a80217`;

test("an echo request: type, checksum, identifier, sequence", () => {
  expect(encodeEchoRequest(4, 0x1234, 1)).toEqual(golden("08 00 e5ca 1234 0001"));
  // The kernel writes the checksum of ICMPv6.
  expect(encodeEchoRequest(6, 0x1234, 1)).toEqual(golden("80 00 0000 1234 0001"));
});

test("a reply, and a router's word that nobody has the address", () => {
  const reply = golden(`${ipv4Header("01")} 00 00 0000 1234 0001`);
  expect(decodeEchoOutcome(4, reply)).toEqual({ type: "reply", identifier: 0x1234 });
  const unreachable = golden(`${ipv4Header("01")} 03 01 0000 00000000 ${ipv4Header("01")} 08 00 0000 1234 0001`);
  expect(decodeEchoOutcome(4, unreachable)).toEqual({
    type: "unreachable",
    identifier: 0x1234,
    target: "192.168.2.23" as Address,
  });
  expect(decodeEchoOutcome(6, golden("81 00 0000 1234 0001"))).toEqual({ type: "reply", identifier: 0x1234 });
  const ipv6Header = `60000000 0008 3a 40 ${"fd00".padEnd(31, "0")}1 ${"fd00".padEnd(31, "0")}2`;
  expect(decodeEchoOutcome(6, golden(`01 03 0000 00000000 ${ipv6Header} 80 00 0000 1234 0001`))).toEqual({
    type: "unreachable",
    identifier: 0x1234,
    target: "fd00::2" as Address,
  });
});

test("a firewall that refuses, another protocol, and our own request are no outcome", () => {
  for (const other of [
    `${ipv4Header("01")} 03 0a 0000 00000000 ${ipv4Header("01")} 08 00 0000 1234 0001`,
    `${ipv4Header("01")} 03 0d 0000 00000000 ${ipv4Header("01")} 08 00 0000 1234 0001`,
    `${ipv4Header("01")} 03 01 0000 00000000 ${ipv4Header("11")} 08 00 0000 1234 0001`,
    `${ipv4Header("01")} 08 00 0000 1234 0001`,
  ])
    expect(decodeEchoOutcome(4, golden(other))).toBeUndefined();
});

test("any bytes are an outcome or none", () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  const sample = golden(`${ipv4Header("01")} 03 01 0000 00000000 ${ipv4Header("01")} 08 00 0000 1234 0001`);
  for (let round = 0; round < 5000; round++) {
    const bytes = round % 2 === 0 ? random.bytes(random.below(80)) : sample.slice(0, random.below(sample.length + 1));
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    for (const family of [4, 6] as const) expect(() => decodeEchoOutcome(family, bytes)).not.toThrow();
  }
});
