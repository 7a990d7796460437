import { expect } from "bun:test";
import { TwillError } from "../../src/base/errors.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";

/**
 * What every decoder must stand: damaged and random bytes give a value or TwillError `corrupt`, never another exception, and
 * a value, once encoded, decodes to itself. The seed is printed when it fails; TWILL_SEED repeats a run.
 * @param samples messages that decode, to be damaged.
 */
export function fuzz<T>(
  samples: readonly Uint8Array[],
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  rounds = 3000,
): void {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  let decoded = 0;
  for (let round = 0; round < rounds; round++) {
    const bytes = damage(random, samples, round);
    try {
      const value = decode(bytes);
      decoded++;
      expect(decode(encode(value))).toEqual(value);
    } catch (error) {
      if (error instanceof TwillError && error.code === "corrupt") continue;
      throw new Error(`TWILL_SEED=${seed} round ${round}: ${Buffer.from(bytes).toString("hex")}`, { cause: error });
    }
  }
  // Otherwise nothing but refusals would have been tested.
  expect(decoded).toBeGreaterThan(rounds / 20);
}

function damage(random: Random, samples: readonly Uint8Array[], round: number): Uint8Array {
  const sample = samples[random.below(samples.length)];
  if (sample === undefined || round % 10 === 9) return random.bytes(random.below(200));
  if (round % 10 === 8) return sample.slice(0, random.below(sample.length + 1));
  const bytes = sample.slice();
  for (let count = random.below(4); count > 0; count--) {
    const at = random.below(bytes.length);
    bytes[at] = random.below(2) === 0 ? random.below(256) : (bytes[at] ?? 0) ^ (1 << random.below(8));
  }
  return bytes;
}

/** Hex digits with comments behind "//": golden bytes, field by field. */
export function golden(text: string): Uint8Array {
  const digits = text.replace(/\/\/.*$/gm, "").replace(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new Error(`not hex: ${digits}`);
  return new Uint8Array(Buffer.from(digits, "hex"));
}
