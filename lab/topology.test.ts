import { expect, test } from "bun:test";
import { isCode } from "../src/base/errors.ts";
import { formatInterfaceAddress, parsePrefix } from "../src/base/prefix.ts";
import { checkNodeName, mac, maximumNodes, planNode, planTopology, spread, type TopologyOptions } from "./topology.ts";

const options: TopologyOptions = { subnets: 2, mtu: 1500, families: [4, 6], avoid: [parsePrefix("10.244.0.0/16")] };

test("four nodes over two subnets: two and two, addresses that read alike in both families", () => {
  const topology = planTopology(options);
  expect(spread(4, 2)).toEqual([1, 1, 2, 2]);
  const node3 = planNode(topology, "node3", 3, 2);
  expect(node3.addresses.map(formatInterfaceAddress)).toEqual(["192.168.2.13/24", "fd00:1ab:0:2::13/64"]);
  expect(node3.gateways.map(String)).toEqual(["192.168.2.1", "fd00:1ab:0:2::1"]);
  expect(topology.outside.addresses.map(formatInterfaceAddress)).toEqual(["203.0.113.10/24", "2001:db8:113::10/64"]);
});

test("the underlay keeps out of the pods' network", () => {
  const topology = planTopology({ ...options, families: [4], avoid: [parsePrefix("192.168.0.0/16")] });
  expect(topology.subnets[0]?.prefixes.map(String)).toEqual(["172.30.1.0/24"]);
  const all = () => planTopology({ ...options, families: [4], avoid: [parsePrefix("0.0.0.0/0")] });
  expect(all).toThrow("leave no room");
});

test("no two nodes share an address or a MAC, up to the largest lab", () => {
  const topology = planTopology(options);
  const seen = new Set<string>();
  for (let number = 1; number <= maximumNodes; number++) {
    const node = planNode(topology, `node${number}`, number, 1);
    for (const key of [...node.addresses.map(formatInterfaceAddress), node.mac, mac("port", number)]) {
      expect(seen.has(key)).toBe(false);
      seen.add(key);
    }
  }
});

test("numbers and names that cannot be are refused with what to do", () => {
  const refused = [
    () => spread(1, 2),
    () => spread(0, 0),
    () => planTopology({ ...options, subnets: 0 }),
    () => planTopology({ ...options, mtu: 1200 }),
    () => planNode(planTopology(options), "node1", 1, 3),
    ...["", "lan1", "outside", "Node", "a/b", "..", "node-", "a23456789012345"].map(
      (name) => () => checkNodeName(name),
    ),
  ];
  for (const attempt of refused) {
    let error: unknown;
    try {
      attempt();
    } catch (caught) {
      error = caught;
    }
    expect(isCode(error, "invalid") && error.remedy !== undefined).toBe(true);
  }
});
