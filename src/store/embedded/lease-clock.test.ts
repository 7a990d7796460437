import { expect, test } from "bun:test";
import { LONGEST_GAP, leaseTimeAt, systemBootClock } from "./lease-clock.ts";

const last = { leaseTime: 1000, bootId: "this", bootTime: 50_000 };
const at = (milliseconds: number, id = "this") => leaseTimeAt(last, { id, milliseconds });

test("lease time goes on with the boot clock", () => {
  expect([at(50_000), at(50_010), at(80_000)]).toEqual([1000, 1010, 31_000]);
});

test("a gap during which nobody looked counts as little", () => {
  expect(at(50_000 + 7 * 86_400_000)).toBe(1000 + LONGEST_GAP);
});

test("it never goes back, and another boot's clock says nothing", () => {
  expect([at(10), at(99_999_999, "another boot")]).toEqual([1000, 1000]);
});

test("the machine's clock counts up under one id", async () => {
  const clock = systemBootClock();
  const first = clock();
  await Bun.sleep(30);
  const second = clock();
  expect(second.id).toBe(first.id);
  expect(second.id).toMatch(/^[0-9a-f-]{36} time:\[/);
  expect(second.milliseconds - first.milliseconds).toBeGreaterThanOrEqual(10);
});
