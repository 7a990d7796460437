import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { isCode } from "../../base/errors.ts";
import type { Flow, FlowEnd, FlowFilter } from "../../model/flow.ts";
import { flowMatcher, parseEndFilter, readFlowFilter } from "./flow-filter.ts";

const pod = (namespace: string, name: string, address: string): FlowEnd => ({
  kind: "pod",
  namespace,
  name,
  address: parseAddress(address),
  labels: {},
});
const web = pod("shop", "web-0", "10.1.0.2");
const db = pod("data", "db-0", "10.1.1.2");
const node: FlowEnd = { kind: "node", name: "worker-1", address: parseAddress("192.0.2.1") };
const outside: FlowEnd = { kind: "address", address: parseAddress("2001:db8::1") };
const many: FlowEnd = { kind: "many" };

const flow = (source: FlowEnd, destination: FlowEnd, more: Partial<Flow> = {}): Flow => ({
  sequence: 1,
  since: 1000,
  until: 2000,
  verdict: "deny",
  protocol: 6,
  source,
  destination,
  count: 1,
  ...more,
});
const all = [flow(web, db), flow(db, web), flow(web, node), flow(outside, db), flow(web, outside), flow(many, db)];
const found = (filter: FlowFilter) => all.filter(flowMatcher(filter)).map((each) => all.indexOf(each));

test("ends, as people write them", () => {
  const from = (text: string) => found({ from: parseEndFilter(text) });
  expect(from("shop/web-0")).toEqual([0, 2, 4]);
  expect(from("shop/web-*")).toEqual([0, 2, 4]);
  expect(from("shop/web")).toEqual([]);
  expect(from("shop/")).toEqual([0, 2, 4]);
  expect(from("data/web-0")).toEqual([]);
  expect(from("db-0")).toEqual([1]);
  expect(from("*")).toEqual([0, 1, 2, 4]);
  expect(from("10.1.0.0/16")).toEqual([0, 1, 2, 4]);
  expect(from("10.1.1.2")).toEqual([1]);
  expect(from("2001:db8::/32")).toEqual([3]);
  expect(from("outside")).toEqual([3]);
  expect(found({ to: parseEndFilter("node/worker-1") })).toEqual([2]);
  expect(found({ to: parseEndFilter("worker-*") })).toEqual([2]);
  expect(found({ with: parseEndFilter("data/db-0") })).toEqual([0, 1, 3, 5]);
  expect(found({ among: ["10.1.1.0/24", "192.0.2.1"] })).toEqual([0, 1, 2, 3, 5]);
  expect(found({ among: [] })).toEqual([]);
  expect(found({ from: parseEndFilter("web-0"), to: parseEndFilter("outside") })).toEqual([4]);
});

test("times and verdicts", () => {
  const matches = (filter: FlowFilter) => flowMatcher(filter)(flow(web, db));
  expect([matches({ since: 2000 }), matches({ since: 2001 })]).toEqual([true, false]);
  expect([matches({ until: 1000 }), matches({ until: 999 })]).toEqual([true, false]);
  expect([matches({ verdict: "deny" }), matches({ verdict: "allow" })]).toEqual([true, false]);
});

test("what is no end is refused with what to write", () => {
  for (const text of ["", "/", "shop/web/0", "Shop/web", "shop/Web", "10.1.2.3/99", "a b", "shop//x", "10.1.2.300"]) {
    expect(() => parseEndFilter(text), text).toThrow();
  }
});

test("filters of other processes are read back, and checked", () => {
  const filters: readonly FlowFilter[] = [
    {},
    { since: 1, until: 2, verdict: "allow" },
    { among: ["10.1.0.0/24", "fd00::1"] },
    ...["shop/web-*", "shop/", "node/n1", "web", "10.0.0.0/8", "fd00::1", "outside"].map((text) => ({
      from: parseEndFilter(text),
      to: parseEndFilter(text),
      with: parseEndFilter(text),
    })),
  ];
  for (const filter of filters) expect(readFlowFilter(JSON.parse(JSON.stringify(filter)))).toEqual(filter);
  const wrong: readonly unknown[] = [
    null,
    [],
    { since: "x" },
    { verdict: "maybe" },
    { from: { kind: "pod", name: "A" } },
    { from: { kind: "named" } },
    { from: { kind: "network", network: "10.0.0.0/33" } },
    { from: { kind: "planet" } },
    { from: "shop/web" },
    { among: "10.0.0.0/8" },
    { among: ["x"] },
  ];
  for (const value of wrong) {
    try {
      readFlowFilter(value);
      throw new Error(`taken: ${JSON.stringify(value)}`);
    } catch (error) {
      if (!isCode(error, "invalid")) throw error;
    }
  }
});
