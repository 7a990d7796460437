import { expect, test } from "bun:test";
import { isCode } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { encodeFrame, FrameReader } from "./frame.ts";

test("frames come out whole, however the stream is cut", () => {
  const random = seededRandom(7);
  const payloads = Array.from({ length: 50 }, () => random.bytes(random.below(40)));
  const stream = new Uint8Array(payloads.flatMap((payload) => [...encodeFrame(payload)]));
  for (let round = 0; round < 50; round++) {
    const reader = new FrameReader(40);
    const frames: Uint8Array[] = [];
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + 1 + random.below(90));
      frames.push(...reader.push(stream.subarray(at, end)));
      at = end;
    }
    expect(frames).toEqual(payloads);
    expect(reader.inFrame).toBe(false);
  }
});

test("a frame that is announced too long is refused before any memory is taken", () => {
  const announced = Uint8Array.from([0xff, 0xff, 0xff, 0xff]);
  expect(() => new FrameReader(1000).push(announced)).toThrow("4294967295 bytes");
  try {
    new FrameReader(3).push(encodeFrame(new Uint8Array(4)));
    expect.unreachable();
  } catch (error) {
    expect(isCode(error, "invalid")).toBe(true);
  }
});
