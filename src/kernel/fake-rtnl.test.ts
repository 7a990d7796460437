import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { FakeNetwork } from "./fake-network.ts";
import type { RtnlEvent } from "./rtnl.ts";

/** What the contract suite (rtnl.test.ts) cannot ask of the real kernel. */
const fresh = () => new FakeNetwork().namespace(1);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const brief = (event: RtnlEvent): string => {
  if (event.type === "overrun") return "overrun";
  if (event.type === "link") return `${event.change} link ${event.link.name} ${event.link.up ? "up" : "down"}`;
  if (event.type === "address") return `${event.change} address ${event.address.address}`;
  return event.type === "route" ? `${event.change} route ${event.route.destination}` : `${event.change} ${event.type}`;
};

test("events come later, in the order of the changes, only of the groups asked for", async () => {
  const rtnl = fresh();
  const events: string[] = [];
  const watch = rtnl.watch(["link", "address", "route"], (event) => events.push(brief(event)));
  rtnl.do({ op: "link.add", spec: { name: "br0", kind: { type: "bridge" } } });
  const device = rtnl.link("br0")?.index ?? 0;
  rtnl.do({ op: "link.set", index: device, change: { addressGeneration: "none", up: true } });
  const address = { device, address: parseAddress("10.0.0.1"), length: 32, scope: "universe" } as const;
  rtnl.do({ op: "address.add", address });
  rtnl.do({ op: "link.delete", index: device });
  expect(events).toEqual([]);
  await turn();
  expect(events.slice(0, 1)).toEqual(["new link br0 down"]);
  expect(events.filter((event) => !event.includes("new link"))).toEqual([
    "new address 10.0.0.1",
    "new route 10.0.0.1/32",
    "delete route 10.0.0.1/32",
    "delete address 10.0.0.1",
    "delete link br0 down",
  ]);
  events.length = 0;
  rtnl.overrun();
  await turn();
  expect(events).toEqual(["overrun"]);
  rtnl.overrun();
  watch.close();
  await turn();
  expect(events).toEqual(["overrun"]);
});

test("an operation can be made to fail, and changes nothing then", () => {
  const rtnl = fresh();
  rtnl.refuse = ({ op }) => (op === "link.add" ? new TwillError("unavailable", "busy", { errno: 16 }) : undefined);
  const results = rtnl.apply([
    { op: "link.add", spec: { name: "br0", kind: { type: "bridge" } } },
    { op: "link.set", index: 1, change: { up: true } },
  ]);
  expect(results).toMatchObject([{ code: "unavailable", errno: 16, operation: "add link" }, undefined]);
  expect(rtnl.links().map((link) => link.name)).toEqual(["lo"]);
  expect(rtnl.counters).toMatchObject({ failures: 1, writes: { "link.add": 1, "link.set": 1 } });
});
