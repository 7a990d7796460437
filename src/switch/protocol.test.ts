import { expect, test } from "bun:test";
import type { Position, Target } from "../model/live-switch.ts";
import { dropEarlier, nextStep, targetAfter } from "./protocol.ts";

const target: Target = { epoch: 2, id: "new", earlier: ["old"] };
const before: Position = { epoch: 1, accepts: ["old"], sends: "old" };
const both: Position = { epoch: 2, accepts: ["new", "old"], sends: "old" };
const sending: Position = { ...both, sends: "new" };
const done: Position = { epoch: 2, accepts: ["new"], sends: "new" };
const peers = (...positions: readonly (Position | undefined)[]) =>
  new Map(positions.map((position, index) => [`node${index + 2}`, position] as const));
const step = (
  own: Position | undefined,
  published: Position | undefined,
  ...others: readonly (Position | undefined)[]
) => nextStep({ own, published, target, peers: peers(...others) });

test("the four states of a node, each when all others are so far", () => {
  expect(step(before, before, before)).toEqual({
    position: both,
    stage: "accept",
    waitingFor: ["node2"],
    mayDrop: false,
  });
  expect(step(both, before, both, before)).toMatchObject({ position: both, stage: "accept", waitingFor: ["node3"] });
  expect(step(both, both, both)).toMatchObject({ position: sending, stage: "send", waitingFor: ["node2"] });
  expect(step(sending, both, sending)).toMatchObject({ waitingFor: [], mayDrop: false });
  expect(step(sending, sending, sending)).toMatchObject({ position: sending, mayDrop: true });
  expect(dropEarlier(sending)).toEqual(done);
  expect(step(done, done, done)).toEqual({ position: done, stage: "done", waitingFor: [], mayDrop: false });
});

test("the last to accept sends at once: all others wait for nothing else", () => {
  expect(step(before, before, both)).toMatchObject({ position: sending, waitingFor: ["node2"] });
});

test("a node that has published nothing is waited for; one of another epoch, too", () => {
  expect(step(both, both, undefined)).toMatchObject({ stage: "accept", waitingFor: ["node2"] });
  expect(step(both, both, { ...done, epoch: 3 })).toMatchObject({ stage: "accept", waitingFor: ["node2"] });
});

test("back from the middle is a change like any other", () => {
  const back = targetAfter(target, "old", peers(sending, both));
  expect(back).toEqual({ epoch: 3, id: "old", earlier: ["new"] });
  const own = nextStep({ own: sending, published: sending, target: back, peers: peers(both) }).position;
  expect(own).toEqual({ epoch: 3, accepts: ["old", "new"], sends: "new" });
});

test("earlier targets are forgotten when nobody uses them, and not before", () => {
  expect(targetAfter(target, "third", peers(done, done)).earlier).toEqual(["new"]);
  expect(targetAfter(target, "third", peers(done, sending)).earlier).toEqual(["new", "old"]);
  expect(targetAfter(target, "third", peers(done, undefined)).earlier).toEqual(["new", "old"]);
});

test("a new node accepts all that anybody may send, and sends what all accept", () => {
  expect(step(undefined, undefined, both, sending).position).toEqual(sending);
  expect(step(undefined, undefined, before, both).position).toEqual(both);
  expect(step(undefined, undefined, done).position).toEqual(sending);
});

test("a target older than what the node did concludes nothing", () => {
  const ahead: Position = { ...done, epoch: 5 };
  expect(step(ahead, ahead, done).position).toBe(ahead);
});
