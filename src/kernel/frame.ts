import { TwillError } from "../base/errors.ts";

/** Framing on our unix sockets: length (u32, little-endian), then that many bytes. */
export const FRAME_HEADER = 4;

export function encodeFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length, true);
  frame.set(payload, FRAME_HEADER);
  return frame;
}

/** Cuts a stream into frames; holds no more than one frame of the permitted size. */
export class FrameReader {
  readonly #maximum: number;
  #header = new Uint8Array(FRAME_HEADER);
  #payload: Uint8Array | undefined;
  #filled = 0;

  /** @param maximum bytes of a payload. */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** Whether a frame has begun and not ended. */
  get inFrame(): boolean {
    return this.#filled > 0 || this.#payload !== undefined;
  }

  /** @returns the frames that `bytes` completes. @throws TwillError `invalid` when one is announced that is too long. */
  push(bytes: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length || this.#payload?.length === this.#filled) {
      const target = this.#payload ?? this.#header;
      const part = bytes.subarray(at, at + target.length - this.#filled);
      target.set(part, this.#filled);
      at += part.length;
      this.#filled += part.length;
      if (this.#filled < target.length) break;
      this.#filled = 0;
      if (this.#payload === undefined) this.#payload = new Uint8Array(this.#announced());
      else {
        frames.push(this.#payload);
        this.#payload = undefined;
      }
    }
    return frames;
  }

  #announced(): number {
    const length = new DataView(this.#header.buffer).getUint32(0, true);
    if (length > this.#maximum) {
      throw new TwillError("invalid", `a message of ${length} bytes, where ${this.#maximum} are permitted`);
    }
    return length;
  }
}
