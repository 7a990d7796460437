import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { Route } from "../objects/route.ts";
import { fibAnswer } from "./fib-answer.ts";
import { type KernelView, noRuleset } from "./kernel-view.ts";

const route = (destination: string, device: number): Route => ({
  destination: parsePrefix(destination),
  type: "unicast",
  table: 254,
  protocol: 3,
  scope: "link",
  metric: 0,
  device,
});
const view: KernelView = {
  links: [],
  addresses: [],
  routes: [route("10.0.0.2/32", 4), route("0.0.0.0/0", 2)],
  rules: [{ family: 4, priority: 32_766, table: 254, action: "lookup" }],
  neighbours: [],
  fdb: [],
  ruleset: noRuleset,
  settings: new Map(),
};
const ask = (source: string, index: number, flags: readonly ("saddr" | "daddr" | "iif")[]) => {
  const packet = {
    source: parseAddress(source),
    destination: parseAddress("10.9.9.9"),
    protocol: "udp",
    size: 60,
  } as const;
  const answer = fibAnswer(view, packet, { name: "in", index }, { type: "fib", to: 0, result: "oif", flags });
  return answer === undefined ? undefined : new Uint32Array(answer.buffer)[0];
};

test("the source's way back, and whether it is the one by which the packet came", () => {
  expect(ask("10.0.0.2", 4, ["saddr", "iif"])).toBe(4);
  expect(ask("10.0.0.3", 4, ["saddr", "iif"])).toBe(0);
  expect(ask("10.0.0.3", 4, ["saddr"])).toBe(2);
  expect(ask("10.0.0.2", 4, ["daddr"])).toBeUndefined();
});
