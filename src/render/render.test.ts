import { expect, test } from "bun:test";
import { parseAddress } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { NodeState, StateChange } from "../model/node-state.ts";
import { addressKey, fdbKey, neighbourKey, routeKey, sysctlKey } from "../objects/desired.ts";
import { render } from "./render.ts";

const mac = parseMac("0e:00:00:00:00:01");
const state: NodeState = {
  own: {
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
    podMtu: 1450,
    subnets: [parsePrefix("10.244.0.0/24")],
    sysctls: [{ name: ["ipv4", "ip_forward"], value: "1" }],
    problems: [],
  },
  peers: new Map([
    [
      "b",
      {
        routes: [
          {
            destination: parsePrefix("10.244.1.0/24"),
            device: "flannel.1",
            gateway: parseAddress("10.244.1.0"),
            onlink: true,
          },
          {
            destination: parsePrefix("fd00::/64"),
            device: "eth0",
            gateway: parseAddress("fd01::2"),
            onlink: false,
          },
        ],
        neighbours: [{ device: "flannel.1", address: parseAddress("10.244.1.0"), mac }],
        forwarding: [{ device: "flannel.1", mac, remote: parseAddress("192.168.0.2") }],
        problems: [],
      },
    ],
  ]),
};

test("every entry becomes one kernel object, with a key that the kernel knows it by", () => {
  const { own, peers } = render(state);
  expect(own.links.map(({ name }) => name)).toEqual(["flannel.1"]);
  expect(own.links[0]).not.toHaveProperty("addresses");
  expect(own.addresses).toEqual([{ device: "flannel.1", address: parseAddress("10.244.0.0"), length: 32 }]);
  expect(own.addresses.map(addressKey)).toEqual(["flannel.1 10.244.0.0/32"]);
  expect(own.sysctls.map(sysctlKey)).toEqual(["ipv4/ip_forward"]);
  const peer = peers.get("b");
  expect(peer?.neighbours.map(neighbourKey)).toEqual(["flannel.1 10.244.1.0"]);
  expect(peer?.fdb.map(fdbKey)).toEqual(["flannel.1 0e:00:00:00:00:01"]);
  expect(peer?.routes.map(routeKey)).toEqual(["10.244.1.0/24", "fd00::/64"]);
});

test("a change is rendered as a change, and what is gone stays gone", () => {
  const whole = render(state);
  const change: StateChange = { peers: new Map([...state.peers, ["c", undefined]]) };
  expect(render(change)).toEqual({ peers: new Map([...whole.peers, ["c", undefined]]) });
});
