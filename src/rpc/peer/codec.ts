import { createHmac, timingSafeEqual } from "node:crypto";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { Reachability } from "../../model/status.ts";

/**
 * The agents' datagrams. All have one size, so an answer is never larger than what asked for it: nobody can use an agent
 * to multiply traffic. Layout, network byte order:
 *
 *     0   2  magic "TW"
 *     2   1  version
 *     3   1  type: 1 probe, 2 answer
 *     4  16  nonce: the answer repeats the probe's
 *    20   1  path: 0 underlay, 1 overlay
 *    21   1  length of the sender's node name
 *    22 253  the sender's node name, zeros behind it
 *   275   1  state measured towards the asker: 0 unknown, 1 yes, 2 no     (answer only, else 0)
 *   276   1  failing: 0 nothing, 1 underlay, 2 overlay, 3 no route
 *   277   1  loss, percent; 255: not measured
 *   278   4  round trip, microseconds; 0xffffffff: not measured
 *   282   8  since, milliseconds since 1970, the answerer's clock; 0: not known
 *   290  14  zero
 *   304  16  HMAC-SHA256 over bytes 0 to 303, its first 16 bytes (RFC 2104 section 5 allows half; 128 bits cannot be guessed)
 */
export const datagramSize = 320;
const signedSize = 304;
const version = 1;

export type Path = "underlay" | "overlay";

export type PeerMessage =
  | { readonly type: "probe"; readonly nonce: Uint8Array; readonly path: Path; readonly sender: string }
  | {
      readonly type: "answer";
      readonly nonce: Uint8Array;
      readonly path: Path;
      readonly sender: string;
      readonly measured: Reachability;
    };

const states = ["unknown", "yes", "no"] as const;
const failures = [undefined, "underlay", "overlay", "route"] as const;

/** @param key 32 bytes, shared by the cluster's agents. */
export function encodeMessage(message: PeerMessage, key: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(message.sender);
  if (message.nonce.length !== 16 || name.length > 253)
    throw new TwillError("internal", "nonce or node name of a wrong length");
  const writer = new ByteWriter(datagramSize);
  writer
    .u8(0x54)
    .u8(0x57)
    .u8(version)
    .u8(message.type === "probe" ? 1 : 2)
    .raw(message.nonce);
  writer
    .u8(message.path === "underlay" ? 0 : 1)
    .u8(name.length)
    .raw(name)
    .zero(253 - name.length);
  const measured: Reachability = message.type === "answer" ? message.measured : { state: "unknown" };
  writer.u8(states.indexOf(measured.state)).u8(failures.indexOf(measured.failing));
  writer.u8(measured.loss === undefined ? 255 : Math.round(measured.loss * 100));
  writer.u32be(
    measured.roundTrip === undefined ? 0xffffffff : Math.min(0xfffffffe, Math.round(measured.roundTrip * 1000)),
  );
  writer.u64be(BigInt(Math.round(measured.since ?? 0))).zero(14);
  return writer.raw(sign(writer.view(), key)).bytes();
}

/**
 * undefined for what was not written with this key, in whatever way it is wrong: nothing of it can be trusted, and nothing
 * is answered. @throws TwillError `corrupt` for what was, and still makes no sense: another version's agent.
 */
export function decodeMessage(bytes: Uint8Array, key: Uint8Array): PeerMessage | undefined {
  if (bytes.length !== datagramSize || bytes[0] !== 0x54 || bytes[1] !== 0x57) return undefined;
  if (!timingSafeEqual(bytes.subarray(signedSize), sign(bytes.subarray(0, signedSize), key))) return undefined;
  const reader = new ByteReader(bytes);
  reader.skip(2);
  const found = reader.u8();
  if (found !== version)
    throw new TwillError("corrupt", `version ${found} of the agents' protocol; this agent speaks version ${version}`);
  const type = reader.u8();
  const nonce = reader.take(16).slice();
  const path: Path = reader.u8() === 0 ? "underlay" : "overlay";
  const length = reader.u8();
  const sender = new TextDecoder().decode(reader.take(253).subarray(0, length));
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(sender))
    throw new TwillError("corrupt", "the sender's name is no node name");
  if (type === 1) return { type: "probe", nonce, path, sender };
  if (type !== 2) throw new TwillError("corrupt", `message type ${type}`);
  return { type: "answer", nonce, path, sender, measured: decodeMeasured(reader) };
}

function decodeMeasured(reader: ByteReader): Reachability {
  const state = states[reader.u8()];
  const failing = failures[reader.u8()];
  const loss = reader.u8();
  const roundTrip = reader.u32be();
  const since = reader.u64be();
  if (state === undefined || (loss > 100 && loss !== 255))
    throw new TwillError("corrupt", "a measurement out of range");
  return {
    state,
    ...(roundTrip === 0xffffffff ? {} : { roundTrip: roundTrip / 1000 }),
    ...(loss === 255 ? {} : { loss: loss / 100 }),
    ...(since === 0n ? {} : { since: Number(since) }),
    ...(failing === undefined ? {} : { failing }),
  };
}

const sign = (bytes: Uint8Array, key: Uint8Array): Uint8Array =>
  createHmac("sha256", key).update(bytes).digest().subarray(0, 16);
