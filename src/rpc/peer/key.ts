import { TwillError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";

/** The key by which a cluster's agents know each other: 32 random bytes. Never to be logged or shown. */
export const makeKey = (random: Random): Uint8Array => random.bytes(32);

export const encodeKey = (key: Uint8Array): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ version: 1, key: Buffer.from(key).toString("base64") }));

/** @throws TwillError `corrupt`; the message does not repeat what was read. */
export function decodeKey(bytes: Uint8Array): Uint8Array {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as { version?: unknown; key?: unknown };
    const key = typeof value.key === "string" ? new Uint8Array(Buffer.from(value.key, "base64")) : new Uint8Array();
    if (value.version === 1 && key.length === 32) return key;
  } catch {
    // The one message below; the cause could hold part of the key.
  }
  throw new TwillError("corrupt", "the agents' shared key cannot be read", {
    operation: "read",
    object: "secrets/peer-key",
    remedy: "delete the object; an agent then makes a new key",
  });
}
