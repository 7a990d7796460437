import { expect, test } from "bun:test";
import { addressFromBytes } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { type Prefix, prefixOf } from "../base/prefix.ts";
import { seededRandom } from "../base/random.ts";
import { checkName } from "../store/key.ts";
import { claimCodec, claimName, heldBy, keptFor, SUBNETS, subnetOfName } from "./subnet-claim.ts";

const seed = 7;
const decode = (bytes: Uint8Array) => claimCodec.decode(bytes, "subnets/10.244.1.0-24");
const text = (value: string) => new TextEncoder().encode(value);

test("names of claims go both ways and hold neither slash nor colon", () => {
  const pairs = [
    ["10.244.1.0/24", "10.244.1.0-24"],
    ["fd00:10:244:1::/64", "fd00-10-244-1---64"],
    ["2001:db8:0:0:1::/80", "2001-db8-0-0-1---80"],
  ] as const;
  for (const [prefix, name] of pairs) {
    expect(claimName(prefix as Prefix)).toBe(name);
    expect(subnetOfName(name)).toBe(prefix as Prefix);
    checkName(SUBNETS, name);
  }
  const random = seededRandom(seed);
  for (let round = 0; round < 500; round++) {
    const six = round % 2 === 0;
    const prefix = prefixOf(addressFromBytes(random.bytes(six ? 16 : 4)), random.below(six ? 129 : 33));
    expect(subnetOfName(claimName(prefix))).toBe(prefix);
    expect(claimName(prefix)).not.toMatch(/[:/]/);
  }
});

test("other names are nobody's subnet", () => {
  for (const name of [
    "",
    "-",
    "10.244.1.0",
    "10.244.1.7-24",
    "10.244.1.0-33",
    "x-24",
    "../etc-24",
    "FD00--64",
    "10-24",
  ]) {
    expect(subnetOfName(name)).toBeUndefined();
  }
});

test("what the first version wrote is read", () => {
  const stored = `{"version":1,"node":"a","id":"6c9d","claimedAt":"2026-01-01T00:00:00.000Z"}`;
  expect(decode(text(stored))).toEqual({
    node: "a",
    id: "6c9d",
    claimedAt: Date.UTC(2026, 0, 1),
    reserved: false,
  });
  const reservation = `{"version":1,"claimedAt":"2026-01-01T00:00:00.000Z","reserved":true}`;
  expect(decode(text(reservation))).toEqual({ claimedAt: Date.UTC(2026, 0, 1), reserved: true });
});

test("claims go both ways", () => {
  const claims = [
    { node: "a", id: "1", claimedAt: 0, reserved: false },
    { node: "a", claimedAt: 1_700_000_000_000, reserved: true },
    { claimedAt: 5, reserved: true },
  ];
  for (const claim of claims) expect(decode(claimCodec.encode(claim))).toEqual(claim);
});

test("what no version wrote is corrupt, what a later one wrote unsupported; nothing else is ever thrown", () => {
  const valid = claimCodec.encode({ node: "a", id: "1", claimedAt: 0, reserved: false });
  const codeOf = (bytes: Uint8Array): string => {
    try {
      decode(bytes);
      return "fine";
    } catch (error) {
      if (error instanceof TwillError) return error.code;
      throw error;
    }
  };
  expect(codeOf(text(`{"version":2}`))).toBe("unsupported");
  for (const bad of ["", "null", "7", "[]", "{}", `{"version":1}`, `{"version":1,"node":7,"claimedAt":"2026-01-01"}`]) {
    expect(codeOf(text(bad))).toBe("corrupt");
  }
  const random = seededRandom(seed);
  for (let round = 0; round < 2000; round++) {
    const bytes = valid.slice();
    bytes[random.below(bytes.length)] = random.below(256);
    expect(["fine", "corrupt", "unsupported"]).toContain(
      codeOf(round % 4 === 0 ? random.bytes(random.below(40)) : bytes),
    );
  }
});

test("a field that a later release added to a claim outlives its renewal", () => {
  const stored = text(`{"version":1,"node":"a","id":"1","claimedAt":"2026-01-01T00:00:00.000Z","zone":"b"}`);
  const renewed = new TextDecoder().decode(claimCodec.encode(decode(stored), stored));
  expect(JSON.parse(renewed).zone).toBe("b");
});

test("a machine is itself by name and identity; a reservation waits for the first machine of its node", () => {
  const here = { node: "a", id: "1" };
  const common = { claimedAt: 0, reserved: false };
  expect(heldBy({ ...common, ...here }, here)).toBe(true);
  expect(heldBy({ ...common, node: "a", id: "2" }, here)).toBe(false);
  expect(heldBy({ ...common, node: "b", id: "1" }, here)).toBe(false);
  const reserved = { claimedAt: 0, reserved: true };
  expect(keptFor({ ...reserved, node: "a" }, here)).toBe(true);
  expect(keptFor({ ...reserved, node: "a", id: "2" }, here)).toBe(false);
  expect(keptFor(reserved, here)).toBe(false);
  expect(keptFor({ ...common, node: "a" }, here)).toBe(false);
});
