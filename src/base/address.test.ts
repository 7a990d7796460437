import { expect, test } from "bun:test";
import { isIPv4, isIPv6 } from "node:net";
import {
  type Address,
  addressFromBytes,
  addressFromNumber,
  bytesOf,
  compareAddresses,
  familyOf,
  numberOf,
  parseAddress,
  tryAddress,
} from "./address.ts";
import { seededRandom } from "./random.ts";

test("canonical text follows RFC 5952", () => {
  const cases: [string, string][] = [
    ["10.0.0.1", "10.0.0.1"],
    ["2001:DB8::1", "2001:db8::1"],
    ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // one zero group is not shortened (section 4.2.2)
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], // the first of two equal runs (section 4.2.3)
    ["0:0:0:0:0:0:0:0", "::"],
    ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ["1::", "1::"],
    ["fe80::1:0", "fe80::1:0"],
  ];
  for (const [text, canonical] of cases) expect(String(parseAddress(text))).toBe(canonical);
});

test("what is not an address is refused", () => {
  const bad = [
    "",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "1.2.3.4.5",
    "::1::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
  ];
  for (const text of [
    ...bad,
    "1:2:3:4:5:6:7::8",
    "fe80::1%eth0",
    " 10.0.0.1",
    "10.0.0.1/8",
    "::1.2.3.4.5",
    ":1",
    "1:",
  ]) {
    expect([text, tryAddress(text)]).toEqual([text, undefined]);
  }
  expect(() => parseAddress("10.0.0.300")).toThrow('"10.0.0.300" is not an IP address');
});

test("bytes, numbers and text agree with each other and with Node's own opinion", () => {
  const random = seededRandom(1);
  for (let round = 0; round < 5000; round++) {
    const bytes = random.bytes(round % 2 === 0 ? 4 : 16).map((byte) => (random.below(3) === 0 ? byte : 0));
    const address = addressFromBytes(bytes);
    expect(bytesOf(address)).toEqual(bytes);
    expect(parseAddress(address)).toBe(address);
    expect(addressFromNumber(familyOf(address), numberOf(address))).toBe(address);
    expect(familyOf(address) === 4 ? isIPv4(address) : isIPv6(address)).toBe(true);
  }
});

test("random text is an address for us exactly when it is one for Node (zones apart)", () => {
  const random = seededRandom(2);
  const alphabet = "0123456789abF:.:::";
  for (let round = 0; round < 50_000; round++) {
    const text = Array.from({ length: 1 + random.below(14) }, () => alphabet[random.below(alphabet.length)]).join("");
    expect([text, tryAddress(text) !== undefined]).toEqual([text, isIPv4(text) || isIPv6(text)]);
  }
});

test("order is by family, then number", () => {
  const sorted = ["10.0.0.2", "10.0.0.10", "192.0.2.1", "::1", "fe80::"] as Address[];
  expect([...sorted].reverse().sort(compareAddresses)).toEqual(sorted);
});

test("numbers outside the family are refused", () => {
  expect(() => addressFromNumber(4, 1n << 32n)).toThrow("outside");
  expect(() => addressFromNumber(4, -1n)).toThrow("outside");
  expect(() => addressFromBytes(new Uint8Array(5))).toThrow("4 or 16 bytes");
});
