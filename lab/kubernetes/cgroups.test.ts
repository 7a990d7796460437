import { expect, test } from "bun:test";
import { labCgroup } from "./cgroups.ts";

test("the name follows from the directory alone", () => {
  expect(labCgroup("/run/twill-lab")).toBe(labCgroup("/run/twill-lab"));
  expect(labCgroup("/run/twill-lab")).toMatch(/^twill-lab-[0-9a-f]{8}$/);
  expect(labCgroup("/run/twill-lab")).not.toBe(labCgroup("/run/other"));
});
