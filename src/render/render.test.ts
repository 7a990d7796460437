import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { NodeState } from "../model/node-state.ts";
import { render } from "./render.ts";

const mac = parseMac("0e:00:00:00:00:01");
const state: NodeState = {
  node: "a",
  tunnels: [
    {
      name: "flannel.1",
      kind: {
        type: "vxlan",
        vni: 1,
        port: 8472,
        local: parseAddress("192.168.0.1"),
        underlay: "eth0",
        learning: false,
        gbp: false,
        outerChecksum: false,
      },
      mac,
      mtu: 1450,
      addresses: [parsePrefix("10.244.0.0/32")],
      txChecksumOffload: true,
    },
  ],
  routes: [
    {
      peer: "b",
      destination: parsePrefix("10.244.1.0/24"),
      device: "flannel.1",
      gateway: parseAddress("10.244.1.0"),
      onlink: true,
    },
    {
      peer: "b",
      destination: parsePrefix("fd00::/64"),
      device: "eth0",
      gateway: parseAddress("fd01::2"),
      onlink: false,
    },
  ],
  neighbours: [{ peer: "b", device: "flannel.1", address: parseAddress("10.244.1.0"), mac }],
  forwarding: [{ peer: "b", device: "flannel.1", mac, remote: parseAddress("192.168.0.2") }],
  podMtu: 1450,
  subnets: [parsePrefix("10.244.0.0/24")],
  sysctls: [{ name: ["ipv4", "ip_forward"], value: "1" }],
  problems: [],
};

test("every entry becomes one kernel object under the key that the kernel knows it by", () => {
  const desired = render(state);
  expect([...desired.links.keys()]).toEqual(["flannel.1"]);
  expect(desired.links.get("flannel.1")).not.toHaveProperty("addresses");
  expect([...desired.addresses]).toEqual([
    ["flannel.1 10.244.0.0/32", { device: "flannel.1", address: parseAddress("10.244.0.0"), length: 32 }],
  ]);
  expect([...desired.neighbours.keys()]).toEqual(["flannel.1 10.244.1.0"]);
  expect([...desired.fdb.keys()]).toEqual(["flannel.1 0e:00:00:00:00:01"]);
  expect([...desired.routes].map(([key, route]) => [key, route.metric])).toEqual([
    ["10.244.1.0/24", 0],
    ["fd00::/64", 1024],
  ]);
  expect([...desired.sysctls.keys()]).toEqual(["ipv4/ip_forward"]);
});

test("which peer it was for is not the kernel's business", () => {
  const desired = render(state);
  for (const map of [desired.routes, desired.neighbours, desired.fdb]) {
    for (const entry of map.values()) expect(entry).not.toHaveProperty("peer");
  }
});

test("of two entries with one key the first stays", () => {
  const [first] = state.routes;
  if (first === undefined) throw new Error("no route");
  const twice: NodeState = { ...state, routes: [first, { ...first, device: "eth9" }] };
  expect(render(twice).routes.get("10.244.1.0/24")?.device).toBe("flannel.1");
});
