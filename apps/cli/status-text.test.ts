import { expect, test } from "bun:test";
import type { Address } from "../../src/base/address.ts";
import type { Prefix } from "../../src/base/prefix.ts";
import type { AgentStatus } from "../../src/model/status.ts";
import { paint, statusText } from "./status-text.ts";

const healthy: AgentStatus = {
  node: "node1",
  version: "0.1.0",
  uptime: 65,
  ready: true,
  waitingFor: [],
  network: { ranges: ["10.244.0.0/16" as Prefix], backend: "vxlan", source: "the datastore" },
  underlay: { device: "eth0", mtu: 1500, addresses: ["192.168.1.11" as Address] },
  subnets: ["10.244.1.0/24" as Prefix],
  subnetSource: "claims in the datastore",
  podMtu: 1450,
  addresses: { used: 2, quarantined: 1, free: 250 },
  datastore: { url: "embedded:/x", reachable: true, since: 0 },
  nodes: [
    {
      name: "node1",
      self: true,
      addresses: ["192.168.1.11" as Address],
      subnets: ["10.244.1.0/24" as Prefix],
      backend: "vxlan",
      reachable: { state: "yes" },
    },
    {
      name: "node2",
      self: false,
      addresses: ["192.168.1.12" as Address],
      subnets: ["10.244.2.0/24" as Prefix],
      backend: "vxlan",
      reachable: { state: "no", failing: "overlay", loss: 1, since: 1000 },
      reverse: { state: "yes", roundTrip: 0.1, loss: 0 },
    },
  ],
  problems: [],
  kernel: { writes: {}, lastSync: 0 },
};

test("a healthy node says so, and shows what was measured", () => {
  expect(statusText(healthy, 61_000, paint(false))).toBe(`node1: ready, twill 0.1.0, up 65s
network: 10.244.0.0/16, backend vxlan, from the datastore
underlay: eth0 192.168.1.11, MTU 1500
pods: 10.244.1.0/24, MTU 1450, 2 addresses used, 250 free, 1 waiting for reuse
  from claims in the datastore

no problems found

NODE   ADDRESS       SUBNET         BACKEND  REACHED      ROUND TRIP  LOSS  REACHES US  SINCE
node1  192.168.1.11  10.244.1.0/24  vxlan    (this node)  -           -     -           -
node2  192.168.1.12  10.244.2.0/24  vxlan    no (tunnel)  -           100%  yes         60s
`);
});

test("what is wrong stands before the nodes, with what to do", () => {
  const text = statusText(
    {
      ...healthy,
      ready: false,
      waitingFor: ["an IPv4 address on eth0"],
      network: { ranges: [], backend: "vxlan", source: "net-conf.json", rejected: "line 3: a comma too many" },
      datastore: { url: "embedded:/x", reachable: false, reason: "the file is gone", since: 1000 },
      problems: [{ severity: "error", subject: "node9", message: "no address", remedy: "give it one" }],
    },
    61_000,
    paint(false),
  );
  expect(text).toContain("node1: not ready");
  expect(text).toContain("  waiting for an IPv4 address on eth0\n");
  expect(text).toContain("not in force: line 3: a comma too many");
  expect(text).toContain("datastore: away for 60s: the file is gone; working from the last known state");
  expect(text).toContain("1 problem:\n  ✗ node9: no address\n    → give it one\n");
});

test("what policy does here is told in two lines, and what of it is wrong in a third", () => {
  const policy = {
    networkPolicies: 1,
    clusterNetworkPolicies: 2,
    broken: 1,
    judged: { ingress: 3, egress: 0 },
    unknownPods: ["shop/late"],
    ...({ established: "recheck", denied: "reject", unknown: "closed" } as const),
  };
  const of = (status: typeof policy) => statusText({ ...healthy, policy: status }, 61_000, paint(false));
  expect(
    of(policy),
  ).toContain(`policy: 1 NetworkPolicy, 2 ClusterNetworkPolicies; ingress of 3 and egress of 0 pod addresses judged here
  denied packets answered, established connections rechecked
  1 cannot be understood and denies, 1 pods unknown
`);
  expect(of({ ...policy, networkPolicies: 0, clusterNetworkPolicies: 0 })).toContain(
    "policy: there is none, so everything is allowed\n",
  );
});
