import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { detached } from "./detached.ts";

test("the same value", () => {
  const value = { a: ["b", 1, null, { c: true }], d: undefined };
  expect(detached(value)).toEqual({ a: ["b", 1, null, { c: true }] } as never);
});

test("keeps nothing of the text that its parts were cut from", () => {
  const kept: unknown[] = [];
  const before = heapStats().heapSize;
  for (let round = 0; round < 200; round++) {
    const text = new TextDecoder().decode(new Uint8Array(100_000).fill(97 + (round % 20)));
    kept.push(detached({ label: text.slice(500, 530) }));
  }
  Bun.gc(true);
  expect(kept).toHaveLength(200);
  // 20 MB of texts.
  expect(heapStats().heapSize - before).toBeLessThan(10_000_000);
});
