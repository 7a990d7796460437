import { expect, test } from "bun:test";
import { hex } from "../../base/bytes.ts";
import { isCode } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { datagramSize, decodeMessage, encodeMessage, type PeerMessage } from "./codec.ts";
import { decodeKey, encodeKey, makeKey } from "./key.ts";

const random = seededRandom(7);
const key = makeKey(random);
const probe: PeerMessage = { type: "probe", nonce: random.bytes(16), path: "overlay", sender: "node1" };
const answer: PeerMessage = {
  type: "answer",
  nonce: random.bytes(16),
  path: "underlay",
  sender: "a.b-c",
  measured: { state: "no", failing: "overlay", loss: 0.3, roundTrip: 1.234, since: 1_700_000_000_123 },
};

test("both messages come back as they were, and have one size", () => {
  for (const message of [probe, answer, { ...answer, measured: { state: "unknown" } } satisfies PeerMessage]) {
    const bytes = encodeMessage(message, key);
    expect(bytes.length).toBe(datagramSize);
    expect(decodeMessage(bytes, key)).toEqual(message);
  }
});

test("golden: the head of a probe", () => {
  const bytes = encodeMessage({ ...probe, nonce: new Uint8Array(16).fill(0xaa) }, key);
  expect(hex(bytes.subarray(0, 27))).toBe(
    "5457" + // magic
      "01" + // version
      "01" + // probe
      "aa".repeat(16) + // nonce
      "01" + // overlay
      "05" + // length of the name
      "6e6f646531".slice(0, 10), // "node1"
  );
});

test("one changed bit, another key or another length is nobody's message", () => {
  const bytes = encodeMessage(answer, key);
  for (let round = 0; round < 400; round++) {
    const changed = bytes.slice();
    const at = random.below(datagramSize);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
    expect(decodeMessage(changed, key)).toBeUndefined();
  }
  expect(decodeMessage(bytes, makeKey(random))).toBeUndefined();
  expect(decodeMessage(bytes.subarray(1), key)).toBeUndefined();
  expect(decodeMessage(new Uint8Array(0), key)).toBeUndefined();
});

test("random content that is signed is corrupt or a message, never another error", () => {
  const { createHmac } = require("node:crypto") as typeof import("node:crypto");
  for (let round = 0; round < 3000; round++) {
    const body = random.bytes(304);
    body.set([0x54, 0x57, random.below(10) === 0 ? 2 : 1, random.below(4)]);
    const bytes = Buffer.concat([body, createHmac("sha256", key).update(body).digest().subarray(0, 16)]);
    try {
      decodeMessage(bytes, key);
    } catch (error) {
      expect(isCode(error, "corrupt")).toBe(true);
    }
  }
});

test("the key is stored with a version, and a damaged one is not repeated in the error", () => {
  expect(decodeKey(encodeKey(key))).toEqual(key);
  const text = `{"version":1,"key":"${Buffer.from(key).toString("base64").slice(4)}"}`;
  let message = "";
  try {
    decodeKey(new TextEncoder().encode(text));
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain("cannot be read");
  expect(message).not.toContain(Buffer.from(key).toString("base64").slice(8, 16));
});
