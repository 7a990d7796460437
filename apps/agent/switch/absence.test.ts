import { afterEach, expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import type { Presence } from "../../../src/kernel/presence-socket.ts";
import { Absence } from "./absence.ts";

const address = "192.168.1.7" as Address;
const clock = new FakeClock();
let answer: Presence | undefined;
let absence: Absence | undefined;
afterEach(() => absence?.stop());

function watching(): Absence {
  answer = undefined;
  absence = new Absence({
    open: () => ({ ask: () => {}, heard: () => answer, close: () => {} }),
    clock,
    onChange: () => {},
  });
  absence.watch(new Map([["node7", address]]));
  return absence;
}
/** One second with that answer, or with none. */
async function second(of: Absence, presence?: Presence): Promise<void> {
  await clock.advance(1_000);
  answer = presence;
  of.look();
}

test("silence says nothing, and who answers is there, whatever was said before", async () => {
  const of = watching();
  for (let count = 0; count < 60; count++) await second(of);
  expect([...of.away]).toEqual([]);
  for (let count = 0; count < 5; count++) await second(of, "nobody");
  await second(of, "there");
  for (let count = 0; count < 5; count++) await second(of, "nobody");
  expect([...of.away]).toEqual([]);
});

test("a machine is away when for seconds nobody has its address, and there again with its first answer", async () => {
  const of = watching();
  for (let count = 0; count < 10; count++) await second(of, "nobody");
  expect([...of.away]).toEqual(["node7"]);
  await second(of, "there");
  expect([...of.away]).toEqual([]);
});

test("what was said once, long ago, is forgotten; so is who is not asked about, or was heard of", async () => {
  const of = watching();
  await second(of, "nobody");
  for (let count = 0; count < 10; count++) await second(of);
  expect([...of.away]).toEqual([]);
  for (let count = 0; count < 10; count++) await second(of, "nobody");
  of.forget("node7");
  expect([...of.away]).toEqual([]);
});
