import { expect, test } from "bun:test";
import { Interner } from "./interner.ts";

test("equal keys have one value, for as long as they are asked for", () => {
  const interner = new Interner<{ readonly key: string }>(2);
  const first = interner.intern("a", { key: "a" });
  expect(interner.intern("a", { key: "a" })).toBe(first);
  for (const key of ["b", "c", "a", "d", "e", "a", "f", "g"]) interner.intern(key, { key });
  expect(interner.intern("a", { key: "a" })).toBe(first);
});

test("what nobody asks for any more is forgotten", () => {
  const interner = new Interner<object>(2);
  const first = interner.intern("a", {});
  for (const key of ["b", "c", "d", "e", "f"]) interner.intern(key, {});
  expect(interner.intern("a", {})).not.toBe(first);
});
