import { expect, test } from "bun:test";
import { marks } from "../../../src/render/hooks.ts";
import { obstacleOf } from "./obstacles.ts";

test("every mark that is no decision's number has a name of its own", () => {
  const all: readonly (number | readonly number[])[] = Object.values(marks);
  const special = all.filter((mark) => typeof mark === "number").filter((mark) => mark >= 2 ** 31);
  const named = special.map((mark) => obstacleOf(mark));
  expect(named).not.toContain(undefined);
  expect(new Set(named).size).toBe(special.length);
  expect([obstacleOf(0), obstacleOf(1), obstacleOf(2 ** 31 - 1)]).toEqual(["no-connection", undefined, undefined]);
});
