import { expect, test } from "bun:test";
import * as errno from "./errno.ts";

test("every constant is the number that the table has for its name", () => {
  const constants = Object.entries(errno).filter(([name]) => /^E[A-Z0-9]+$/.test(name));
  expect(constants.length).toBeGreaterThan(20);
  for (const [name, number] of constants) expect(errno.errnoNumber(name)).toBe(Number(number));
});

test("an error says what was done, to what, why, in the kernel's words, and what to do", () => {
  const error = errno.errnoError(errno.EEXIST, { operation: "add link", object: "cni0", detail: "taken" });
  expect(error.describe()).toBe("add link cni0: File exists (EEXIST): taken");
  expect([error.code, error.errno]).toEqual(["exists", 17]);
  expect(errno.errnoError(errno.EPERM).remedy).toContain("root");
  expect(errno.errnoError(9999).message).toBe("errno 9999");
});
