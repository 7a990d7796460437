import { expect, test } from "bun:test";
import type { FlowKind } from "../../../src/insight/flows/aggregate.ts";
import { OpenConnections } from "./open-connections.ts";

const kind = { key: "k" } as FlowKind;

test("what began is taken once, by its id; beyond the bound the oldest is forgotten", () => {
  const open = new OpenConnections(3);
  for (let id = 1; id <= 5; id++) open.add(id, { kind, began: id });
  expect([open.size, open.forgotten]).toEqual([3, 2]);
  expect([1, 2, 3, 4, 5].map((id) => open.has(id))).toEqual([false, false, true, true, true]);
  expect([open.take(4)?.began, open.take(4), open.take(1)]).toEqual([4, undefined, undefined]);
  // The same id again: the end of the one before was missed, and this is now the youngest.
  open.add(3, { kind, began: 30 });
  open.add(6, { kind, began: 6 });
  open.add(7, { kind, began: 7 });
  expect([open.has(5), open.take(3)?.began, open.forgotten]).toEqual([false, 30, 3]);
});
