import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import type { EndpointName, PolicyNode, WorkloadEndpoint } from "../../../src/model/policy.ts";
import { AddressNames, type AttachedPod } from "./address-names.ts";

const web = parseAddress("10.1.0.2");
const db = parseAddress("10.1.1.3");
const machine = parseAddress("192.0.2.1");
const tunnel = parseAddress("10.1.1.0");
const nobody = parseAddress("198.51.100.9");
const foreign = parseAddress("10.9.0.9");

const pod = (name: string, node: string, ...addresses: Address[]): WorkloadEndpoint => ({
  namespace: "shop",
  pod: name,
  node,
  labels: { app: name },
  addresses,
  ports: [],
});

test("own pods by what is attached, others by the model, nodes by all their addresses", async () => {
  const clock = new FakeClock();
  const endpoints = new Map<EndpointName, WorkloadEndpoint>([
    ["shop/web", pod("web", "n1")],
    ["shop/db", pod("db", "n2", db)],
  ]);
  const nodes = new Map<string, PolicyNode>([["n2", { name: "n2", labels: {}, addresses: [machine, tunnel] }]]);
  const attached: AttachedPod[] = [{ namespace: "shop", name: "web", addresses: [web] }];
  const names = new AddressNames({ model: { endpoints, nodes }, attached: () => attached, node: "n1", clock });
  expect(names.end(web)).toEqual({
    kind: "pod",
    address: web,
    namespace: "shop",
    name: "web",
    labels: { app: "web" },
    node: "n1",
  });
  expect(names.end(db)).toMatchObject({ kind: "pod", name: "db", node: "n2", labels: { app: "db" } });
  expect([names.end(machine), names.end(tunnel)]).toEqual([
    { kind: "node", address: machine, name: "n2" },
    { kind: "node", address: tunnel, name: "n2" },
  ]);
  expect(names.end(nobody)).toEqual({ kind: "address", address: nobody });
  expect([web, db, machine, nobody].map((address) => names.isOwn(address))).toEqual([true, false, false, false]);

  // A pod that came shows soon, for the first policy makes the agent list all of them.
  endpoints.set("shop/new", pod("new", "n2", nobody));
  expect(names.end(nobody)).toEqual({ kind: "address", address: nobody });
  await clock.advance(500);
  expect(names.end(nobody)).toMatchObject({ name: "new" });

  // Other changes show after a moment: sooner than an address may be another's.
  attached.push({ namespace: "shop", name: "late", addresses: [nobody] });
  endpoints.set("other/foreign", pod("foreign", "n1", foreign));
  endpoints.delete("shop/db");
  await clock.advance(5000);
  expect(names.end(nobody)).toMatchObject({ kind: "pod", name: "late", labels: {} });
  expect(names.end(db)).toEqual({ kind: "address", address: db });
  // Attached by another program's network.
  expect(names.isOwn(foreign)).toBe(true);
});
