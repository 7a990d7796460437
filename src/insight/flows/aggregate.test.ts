import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import type { FlowReason } from "../../model/flow.ts";
import { FlowAggregator, type FlowNames, type Sighting } from "./aggregate.ts";

const names: FlowNames = {
  end: (address) => ({ kind: "address", address }),
  reason: (number): FlowReason => ({ by: "forgotten", number }),
};
const web = parseAddress("10.1.0.2");
const db = parseAddress("10.1.1.3");

const denied = (more: Partial<Sighting> = {}): Sighting => ({
  time: 1000,
  verdict: "deny",
  protocol: 6,
  source: web,
  destination: db,
  port: 5432,
  egress: 0,
  ingress: 7,
  ...more,
});
const totals = (bytes: number) => ({ connections: 1, packets: 2, bytes, seconds: 3 });
const address = (n: number) => parseAddress(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`);

test("alike sightings are one flow, told at once and again at the window's end", () => {
  const flows = new FlowAggregator(names);
  for (const time of [1000, 1400, 1200]) flows.add(denied({ time }));
  const told = {
    verdict: "deny",
    protocol: 6,
    source: { kind: "address", address: web },
    destination: { kind: "address", address: db },
    port: 5432,
    ingress: { by: "forgotten", number: 7 },
  };
  expect(flows.fresh()).toEqual([{ ...told, since: 1000, until: 1400, count: 3 } as never]);
  expect(flows.fresh()).toEqual([]);
  for (const time of [3000, 9000]) flows.add(denied({ time }));
  expect(flows.fresh()).toEqual([]);
  expect(flows.turn()).toEqual([{ ...told, since: 3000, until: 9000, count: 2 } as never]);
  expect(flows.turn()).toEqual([]);
});

test("what was there in the window before is not told at once; after a pause it is", () => {
  const flows = new FlowAggregator(names);
  flows.add(denied());
  flows.fresh();
  flows.turn();
  flows.add(denied());
  expect(flows.fresh()).toEqual([]);
  expect(flows.turn()).toHaveLength(1);
  flows.turn();
  flows.add(denied());
  expect(flows.fresh()).toHaveLength(1);
});

test("what differs in anything that people ask for is a flow of its own", () => {
  const flows = new FlowAggregator(names);
  const different: Partial<Sighting>[] = [
    {},
    { verdict: "allow" },
    { protocol: 17 },
    { port: 5433 },
    { source: db },
    { destination: web },
    { ingress: 8 },
    { egress: 9 },
    { service: { address: address(9), port: 80 } },
    { protocol: 1, icmp: { type: 8, code: 0 } },
    { protocol: 1, icmp: { type: 13, code: 0 } },
  ];
  for (const each of different) {
    const { port, ...portless } = denied(each);
    flows.add(each.icmp === undefined && port !== undefined ? { ...portless, port } : portless);
  }
  expect(flows.fresh()).toHaveLength(different.length);
});

test("connections that end are added to their flow, also in a later window", () => {
  const flows = new FlowAggregator(names);
  const kind = flows.add(denied({ verdict: "allow" }));
  if (kind === undefined) throw new Error("not counted");
  flows.end(kind, totals(100), 1500);
  flows.end(kind, totals(50), 1700);
  expect(flows.fresh()).toMatchObject([{ count: 1, ended: { connections: 2, packets: 4, bytes: 150, seconds: 6 } }]);
  flows.turn();
  flows.turn();
  flows.end(kind, totals(1), 90_000);
  expect(flows.fresh()).toEqual([]);
  expect(flows.turn()).toMatchObject([{ since: 90_000, until: 90_000, count: 0, port: 5432, ended: totals(1) }]);
});

test("a scan of all ports is a few flows, and the ports are counted", () => {
  const flows = new FlowAggregator(names);
  for (let port = 1; port <= 65_535; port++) flows.add(denied({ port }));
  flows.add(denied({ port: 65_535 }));
  expect(flows.size).toBe(17);
  const [scan] = flows.fresh().filter(({ ports }) => ports !== undefined);
  expect(scan).toMatchObject({ ports: 65_535 - 16, count: 65_536 - 16, source: { address: web } });
  expect(scan).not.toHaveProperty("port");
  // Another destination is not affected.
  flows.add(denied({ destination: web, source: db }));
  expect(flows.fresh()).toHaveLength(1);
  expect(flows.dropped).toBe(0);
});

test("a crowd of clients at one port, and a scan of all addresses and ports, are bounded", () => {
  const crowd = new FlowAggregator(names);
  for (let n = 1; n <= 20_000; n++) crowd.add(denied({ source: address(n) }));
  expect(crowd.size).toBe(513);
  expect(crowd.fresh().at(-1)).toMatchObject({
    source: { kind: "many" },
    destination: { address: db },
    port: 5432,
    count: 20_000 - 512,
  });
  const scan = new FlowAggregator(names);
  for (let n = 1; n <= 50_000; n++)
    scan.add(denied({ destination: address(n % 1000), port: 1 + (n % 9973), egress: 7, ingress: 0 }));
  expect(scan.size).toBeLessThanOrEqual(512 + 16 + 1);
  const last = scan.fresh().at(-1);
  expect(last).toMatchObject({ source: { address: web }, destination: { kind: "many" } });
  expect(last?.ports).toBeGreaterThan(9000);
  expect(last).not.toHaveProperty("port");
  expect(scan.dropped).toBe(0);
});

test("beyond the limit of a window sightings are counted as dropped, until the next", () => {
  const flows = new FlowAggregator(names, { flows: 10, ports: { allow: 100, deny: 100 }, peers: 100 });
  for (let port = 1; port <= 25; port++) flows.add(denied({ port }));
  expect([flows.size, flows.dropped, flows.fresh().length]).toEqual([10, 15, 10]);
  flows.turn();
  expect(flows.add(denied({ port: 26 }))).toBeDefined();
});
