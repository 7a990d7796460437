import { expect, test } from "bun:test";
import { TwillError } from "../../../src/base/errors.ts";
import type { Position, Target } from "../../../src/model/live-switch.ts";
import { Joining } from "./joining.ts";

const target = (epoch: number): Target => ({ epoch, id: "1", earlier: [] });
const seen = (sends: string): Position => ({ epoch: 0, accepts: [], sends });

test("a node begins once the others can see it, by a target that is not older than that moment", async () => {
  let asked = 0;
  const joining = new Joining({
    nonce: "this",
    askEpoch: () => {
      asked++;
      return Promise.resolve(4);
    },
    onChange: () => {},
  });
  expect(joining.standing).toEqual({ epoch: 0, offers: [], sends: "this" });
  expect(joining.mayBegin(undefined, target(4))).toBe(false);
  // Of an earlier joining, or of before a boot.
  expect(joining.mayBegin(seen("other"), target(4))).toBe(false);
  expect(joining.mayBegin({ epoch: 3, accepts: ["1"], sends: "1" }, target(4))).toBe(false);
  expect(asked).toBe(0);
  expect(joining.mayBegin(seen("this"), target(3))).toBe(false);
  await Bun.sleep(1);
  expect(asked).toBe(1);
  expect(joining.mayBegin(seen("this"), target(3))).toBe(false);
  expect(joining.mayBegin(seen("this"), target(4))).toBe(true);
});

test("a datastore that is away is asked again", async () => {
  let away = true;
  const { promise, resolve } = Promise.withResolvers<void>();
  const joining = new Joining({
    nonce: "this",
    askEpoch: () => (away ? Promise.reject(new TwillError("unavailable", "away")) : Promise.resolve(1)),
    onChange: resolve,
  });
  expect(joining.mayBegin(seen("this"), target(1))).toBe(false);
  await promise;
  away = false;
  expect(joining.mayBegin(seen("this"), target(1))).toBe(false);
  await Bun.sleep(1);
  expect(joining.mayBegin(seen("this"), target(1))).toBe(true);
});
