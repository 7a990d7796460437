import { expect, test } from "bun:test";
import { FakeClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { StoreHealth } from "./store-health.ts";

const answers = () => Promise.resolve("yes");
const never = () => new Promise<never>(() => {});

test("away is what the watch says, or what somebody who asks finds out before it", async () => {
  const clock = new FakeClock();
  const health = new StoreHealth(clock, silentLog);
  expect(health.reachable).toBe(false);
  health.onState("synced", undefined);
  await health.ask(answers);
  expect([health.reachable, health.reason]).toEqual([true, undefined]);

  const asked = health.ask(never);
  await clock.advance(2_000);
  await asked;
  expect(health.reachable).toBe(false);
  expect(health.reason).toContain("no answer within 2 s");
  const since = health.awaySince;
  await clock.advance(10_000);
  health.onState("stale", new TwillError("unavailable", "connection refused"));
  expect([health.reason, health.awaySince]).toEqual(["connection refused", since]);

  health.onState("synced", undefined);
  expect([health.reachable, health.awaySince]).toEqual([true, clock.now()]);
  await health.ask(() => Promise.reject(new TwillError("denied", "no credentials")));
  expect(health.reason).toBe("no credentials");
  await health.ask(answers);
  expect(health.reachable).toBe(true);
});
