import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { backoff } from "./backoff.ts";
import { Limiter } from "./limiter.ts";

test("so many run at a time, in the order asked, and a failure frees its place", async () => {
  const limiter = new Limiter(3);
  const [begun, most] = [[] as number[], { now: 0, ever: 0 }];
  const work = (index: number) => async () => {
    begun.push(index);
    most.ever = Math.max(most.ever, ++most.now);
    await Bun.sleep(1);
    most.now--;
    if (index % 4 === 0) throw new Error(`${index}`);
    return index;
  };
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => limiter.run(work(index))));
  expect(begun).toEqual(Array.from({ length: 20 }, (_, index) => index));
  expect(most.ever).toBe(3);
  expect(outcomes.filter((outcome) => outcome.status === "rejected").length).toBe(5);
});

test("pauses double up to the longest, and half of each is random", () => {
  const random = seededRandom(1);
  for (let failures = 0; failures < 30; failures++) {
    const full = Math.min(5000, 100 * 2 ** failures);
    const pause = backoff(failures, 100, 5000, random);
    expect(pause).toBeGreaterThanOrEqual(full / 2);
    expect(pause).toBeLessThanOrEqual(full);
  }
});
