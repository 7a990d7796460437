import { expect, test } from "bun:test";
import { isCode } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { jsonLines } from "./json-lines.ts";

async function* chunks(data: Uint8Array, sizes: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; ) {
    const size = sizes();
    yield data.subarray(at, at + size);
    at += size;
  }
}

test("values come whole, however the stream is cut, characters in the middle too", async () => {
  const values = [{ a: 1 }, "ü→𝄞", [], { text: "line\nend" }, 7];
  const data = new TextEncoder().encode(values.map((value) => `${JSON.stringify(value)}\n`).join("\n"));
  for (let seed = 1; seed <= 50; seed++) {
    const random = seededRandom(seed);
    const read = await Array.fromAsync(jsonLines(chunks(data, () => 1 + random.below(1 + (seed % 9)))));
    expect([seed, read]).toEqual([seed, values]);
  }
});

test("a last line without its end is dropped", async () => {
  const data = new TextEncoder().encode('1\n2\n{"half":');
  expect(await Array.fromAsync(jsonLines(chunks(data, () => 3)))).toEqual([1, 2]);
});

test("random bytes are corrupt or JSON, and nothing else", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const outcome = await Array.fromAsync(jsonLines(chunks(random.bytes(200), () => 1 + random.below(50)))).catch(
      (error: unknown) => error,
    );
    if (!Array.isArray(outcome)) expect([seed, isCode(outcome, "corrupt")]).toEqual([seed, true]);
  }
});

test("a line without an end is refused before it fills the memory", async () => {
  const mebibyte = new Uint8Array(1 << 20).fill(0x20);
  let sent = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      sent++;
      yield mebibyte;
    }
  }
  const outcome = await Array.fromAsync(jsonLines(endless())).catch((error: unknown) => error);
  expect(isCode(outcome, "corrupt")).toBe(true);
  expect(sent).toBe(17);
});
