import { expect, test } from "bun:test";
import { isMulticast, localMac, macBytes, macFromBytes, parseMac } from "./mac.ts";
import { seededRandom } from "./random.ts";

test("text and bytes agree", () => {
  const mac = parseMac("0E:12:34:56:78:9A");
  expect(String(mac)).toBe("0e:12:34:56:78:9a");
  expect(macFromBytes(macBytes(mac))).toBe(mac);
  expect(() => parseMac("0e:12:34:56:78")).toThrow("not an Ethernet address");
  expect(() => macFromBytes(new Uint8Array(5))).toThrow("6 bytes");
});

test("a made-up address is unicast and locally administered", () => {
  const random = seededRandom(4);
  for (let round = 0; round < 200; round++) {
    const mac = localMac(random.bytes(6));
    expect(isMulticast(mac)).toBe(false);
    expect((macBytes(mac)[0] ?? 0) & 2).toBe(2);
  }
});
