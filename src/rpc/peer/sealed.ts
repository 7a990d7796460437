import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { TwillError } from "../../base/errors.ts";

/**
 * One direction of a conversation between two agents, encrypted and authenticated: AES-256-GCM under a key that follows from
 * the cluster's key and from both sides' random numbers, so nothing that was recorded can be used again (RFC 5116, RFC 5869).
 *
 *     0   4  length of what follows, network order
 *     4   n  ciphertext
 *   4+n  16  tag
 *
 * The nonce is the number of the frame: each key seals one direction of one conversation only.
 */
const tagSize = 16;
const algorithm = "aes-256-gcm";

export interface SessionKeys {
  readonly toServer: Uint8Array;
  readonly toClient: Uint8Array;
}

/** @param key 32 bytes, the cluster's. @param clientNonce, serverNonce 16 random bytes each. */
export function sessionKeys(key: Uint8Array, clientNonce: Uint8Array, serverNonce: Uint8Array): SessionKeys {
  const salt = Buffer.concat([clientNonce, serverNonce]);
  const derive = (direction: string) => new Uint8Array(hkdfSync("sha256", key, salt, `twill look ${direction}`, 32));
  return { toServer: derive("to server"), toClient: derive("to client") };
}

/** @param number of the frame in its direction, from 0. */
export function seal(key: Uint8Array, number: number, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv(algorithm, key, nonceOf(number));
  const body = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, body.length);
  return new Uint8Array(Buffer.concat([head, body]));
}

/** @param body a frame without its length. @throws TwillError `denied`: not sealed with this key, or changed on the way. */
export function unseal(key: Uint8Array, number: number, body: Uint8Array): Uint8Array {
  try {
    const split = Math.max(0, body.length - tagSize);
    const decipher = createDecipheriv(algorithm, key, nonceOf(number), { authTagLength: tagSize });
    decipher.setAuthTag(body.subarray(split));
    return new Uint8Array(Buffer.concat([decipher.update(body.subarray(0, split)), decipher.final()]));
  } catch (cause) {
    throw new TwillError("denied", "the other side does not have the cluster's key", {
      operation: "talk to agent",
      remedy: "all agents must use one datastore",
      cause,
    });
  }
}

/** RFC 5116: 96 bits. */
function nonceOf(number: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(8, number);
  return nonce;
}

/** Cuts a stream into pieces of a known size. */
export class PieceReader {
  #chunks: Uint8Array[] = [];
  #length = 0;

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes.slice());
    this.#length += bytes.length;
  }

  /** undefined while there are fewer. */
  take(count: number): Uint8Array | undefined {
    if (this.#length < count) return undefined;
    const whole = this.#whole();
    this.#chunks = [whole.subarray(count)];
    this.#length -= count;
    return whole.subarray(0, count);
  }

  /** A frame's body, once all of it is there. @throws TwillError `corrupt` when it announces more than `maximum` bytes. */
  frame(maximum: number): Uint8Array | undefined {
    const [first] = this.#chunks;
    const head = first !== undefined && first.length >= 4 ? first : this.#length < 4 ? undefined : this.#whole();
    if (head === undefined) return undefined;
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
    if (length > maximum) throw new TwillError("corrupt", `a frame of ${length} bytes`, { operation: "talk to agent" });
    return this.take(4 + length)?.subarray(4);
  }

  /** Joined only when a piece is complete: joining for each chunk would copy a large frame many times. */
  #whole(): Uint8Array {
    const whole = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
    const joined = whole ?? new Uint8Array(Buffer.concat(this.#chunks));
    this.#chunks = [joined];
    return joined;
  }
}
