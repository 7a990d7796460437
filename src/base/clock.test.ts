import { expect, test } from "bun:test";
import { FakeClock, systemClock } from "./clock.ts";

test("sleepers wake in order of their deadlines, at their time", async () => {
  const clock = new FakeClock(0);
  const woken: [string, number][] = [];
  const sleeper = async (name: string, milliseconds: number) => {
    await clock.sleep(milliseconds);
    woken.push([name, clock.monotonic()]);
  };
  const all = [sleeper("late", 30), sleeper("early", 10), sleeper("never", 1000)];
  await clock.advance(50);
  expect(woken).toEqual([
    ["early", 10],
    ["late", 30],
  ]);
  expect([clock.now(), clock.monotonic(), all.length]).toEqual([50, 50, 3]);
});

test("a jump moves the wall clock alone", () => {
  const clock = new FakeClock(0);
  clock.jump(86_400_000);
  expect([clock.now(), clock.monotonic()]).toEqual([86_400_000, 0]);
});

for (const [name, clock] of [
  ["system", systemClock],
  ["fake", new FakeClock()],
] as const) {
  test(`a sleeper of the ${name} clock wakes when its signal is aborted, and at once when it already was`, async () => {
    const abort = new AbortController();
    const asleep = clock.sleep(3_600_000, abort.signal);
    abort.abort();
    await asleep;
    await clock.sleep(3_600_000, abort.signal);
  });
}
