import { expect, test } from "bun:test";
import { TrackedMap } from "./tracked-map.ts";

test("what was written and is as before is no change", () => {
  const map = new TrackedMap<string, { readonly value: number }>((a, b) => a.value === b.value);
  map.set("a", { value: 1 }).set("b", { value: 2 });
  expect(map.takeChanges()).toEqual(
    new Map([
      ["a", { value: 1 }],
      ["b", { value: 2 }],
    ]),
  );
  map.set("a", { value: 3 }).set("a", { value: 1 });
  map.delete("b");
  map.set("c", { value: 4 });
  map.delete("c");
  map.delete("never");
  expect(map.takeChanges()).toEqual(new Map([["b", undefined]]));
  expect(map.takeChanges().size).toBe(0);
});
