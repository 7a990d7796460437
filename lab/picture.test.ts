import { expect, test } from "bun:test";
import { parseAddress } from "../src/base/address.ts";
import { parsePrefix } from "../src/base/prefix.ts";
import { type ClusterView, drawCluster, type NodeView } from "./picture.ts";

const node = (number: number, subnet: number, trouble: string[] = []): NodeView => ({
  name: `node${number}`,
  addresses: [parseAddress(`192.168.${subnet}.1${number}`)],
  podSubnets: [parsePrefix(`10.244.${number}.0/24`)],
  trouble,
  pods: [{ name: "pod-a", addresses: [parseAddress(`10.244.${number}.2`)] }],
});

const view: ClusterView = {
  outside: [parseAddress("203.0.113.10")],
  mtu: 1500,
  subnets: [
    { name: "lan1", prefixes: [parsePrefix("192.168.1.0/24")], nodes: [node(1, 1), node(2, 1, ["agent stopped"])] },
    { name: "lan2", prefixes: [parsePrefix("192.168.2.0/24")], nodes: [node(3, 2)] },
  ],
};

test("subnets hang from the router, nodes from their subnet, pods in their node", () => {
  expect(drawCluster(view, 80)).toEqual([
    " outside 203.0.113.10",
    "    │",
    " router",
    "    │",
    "    ├── lan1  192.168.1.0/24",
    "    │   └──────────┬──────────────────────────┬",
    "    │  ┌───────────┴───────────┐  ┌───────────┴───────────┐",
    "    │  │ node1 192.168.1.11    │  │ node2 192.168.1.12    │",
    "    │  │ pods in 10.244.1.0/24 │  │ ! agent stopped       │",
    "    │  │  pod-a 10.244.1.2     │  │ pods in 10.244.2.0/24 │",
    "    │  └───────────────────────┘  │  pod-a 10.244.2.2     │",
    "    │                             └───────────────────────┘",
    "    │",
    "    └── lan2  192.168.2.0/24",
    "        └──────────┬",
    "       ┌───────────┴───────────┐",
    "       │ node3 192.168.2.13    │",
    "       │ pods in 10.244.3.0/24 │",
    "       │  pod-a 10.244.3.2     │",
    "       └───────────────────────┘",
  ]);
});

test("no line is wider than asked, as long as one node fits", () => {
  const wide = { ...view, subnets: [{ ...view.subnets[0], nodes: Array.from({ length: 9 }, (_, i) => node(i, 1)) }] };
  for (const width of [40, 80, 132]) {
    for (const line of drawCluster(wide as ClusterView, width)) expect(line.length).toBeLessThanOrEqual(width);
  }
});
