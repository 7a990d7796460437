import { expect, test } from "bun:test";
import { silentLog } from "../../../src/base/log.ts";
import type { Prefix } from "../../../src/base/prefix.ts";
import { parseNetConf } from "../../../src/intent/flannel/net-conf.ts";
import type { ClusterNetwork } from "../../../src/model/network.ts";
import type { Node } from "../../../src/store/kubernetes/object.ts";
import { ClusterNodes } from "./cluster-nodes.ts";
import { NodeSubnets } from "./node-subnets.ts";

const network = (fields: object): ClusterNetwork => parseNetConf(JSON.stringify(fields), { source: "test" });
const ipv4 = network({ Network: "10.244.0.0/16" });
const dual = network({ Network: "10.244.0.0/16", IPv6Network: "fd00::/48", EnableIPv6: true });

const managed = { "flannel.alpha.coreos.com/kube-subnet-manager": "true" };
const node = (
  name: string,
  podCIDRs: string[] = [],
  annotations: Record<string, string> = {},
  uid = `uid-${name}`,
): Node => ({
  metadata: { name, uid, resourceVersion: "1", annotations },
  ...(podCIDRs.length > 0 && { spec: { podCIDR: podCIDRs[0] ?? "", podCIDRs } }),
});

function source(previous: readonly string[] = []) {
  const nodes = new ClusterNodes("b");
  let changes = 0;
  const subnets = new NodeSubnets({ nodes, previous: previous as Prefix[], log: silentLog, onChange: () => changes++ });
  return { nodes, subnets, changes: () => changes };
}
const said = ({ subnets: { subnets, problems, waitingFor } }: ReturnType<typeof source>) => ({
  subnets: [...subnets] as string[],
  reasons: problems.map(({ reason }) => reason),
  ready: waitingFor.length === 0,
});

test("the subnets are the Node's podCIDRs, also when they come after the Node, and when it is made anew", () => {
  const cluster = source();
  const { nodes, subnets } = cluster;
  subnets.setNetwork(ipv4);
  expect(said(cluster)).toEqual({ subnets: [], reasons: [], ready: false });
  nodes.replaced([node("a", ["10.244.0.0/24"])]);
  expect(said(cluster)).toEqual({ subnets: [], reasons: ["NodeMissing"], ready: false });
  nodes.changed(node("b"));
  expect(said(cluster)).toEqual({ subnets: [], reasons: ["PodCIDRMissing"], ready: false });
  nodes.changed(node("b", ["10.244.1.0/24"]));
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24"], reasons: [], ready: true });

  // A kubelet's report changes nothing.
  const before = cluster.changes();
  nodes.changed({ ...node("b", ["10.244.1.0/24"]), metadata: { ...node("b").metadata, resourceVersion: "9" } });
  nodes.changed(node("a", ["10.244.0.0/24"]));
  expect(cluster.changes()).toBe(before);

  // Pods of before stay reachable from here, and none is added.
  nodes.deleted("b");
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24"], reasons: ["NodeMissing"], ready: false });
  nodes.changed(node("b", ["10.244.7.0/24"], {}, "another"));
  expect(said(cluster)).toEqual({ subnets: ["10.244.7.0/24"], reasons: [], ready: true });
});

test("until the Nodes are known the subnets of before hold, as far as they fit the network", () => {
  const cluster = source(["10.244.3.0/24", "fd00:0:0:3::/64"]);
  cluster.subnets.setNetwork(ipv4);
  expect(said(cluster)).toEqual({ subnets: ["10.244.3.0/24"], reasons: [], ready: true });
  cluster.subnets.setNetwork(network({ Network: "10.99.0.0/16" }));
  expect(said(cluster)).toEqual({ subnets: [], reasons: [], ready: false });
});

test("both families: IPv4 first, and each that is missing is said", () => {
  const cluster = source();
  cluster.subnets.setNetwork(dual);
  cluster.nodes.replaced([node("b", ["fd00:0:0:1::/64", "10.244.1.0/24"])]);
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24", "fd00:0:0:1::/64"], reasons: [], ready: true });
  cluster.nodes.replaced([node("b", ["10.244.1.0/24"])]);
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24"], reasons: ["PodCIDRMissing"], ready: false });
  // A family that the network has not is none of ours.
  cluster.subnets.setNetwork(ipv4);
  cluster.nodes.replaced([node("b", ["10.244.1.0/24", "fd00:0:0:1::/64"])]);
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24"], reasons: [], ready: true });
});

test("a podCIDR outside Network, or none at all, is refused with the reason", () => {
  const cluster = source();
  cluster.subnets.setNetwork(ipv4);
  cluster.nodes.replaced([node("b", ["10.99.1.0/24"])]);
  expect(said(cluster)).toEqual({ subnets: [], reasons: ["PodCIDROutsideNetwork"], ready: false });
  expect(cluster.subnets.problems[0]?.message).toBe(
    "podCIDR 10.99.1.0/24 of Node b is outside the cluster's network 10.244.0.0/16",
  );
  for (const podCidr of ["127.0.0.0/24", "10.244.1.1/24", "nonsense", "10.244.1.0/240"]) {
    cluster.nodes.replaced([node("b", [podCidr])]);
    expect(said(cluster), podCidr).toEqual({ subnets: [], reasons: ["NodeInvalid", "PodCIDRMissing"], ready: false });
  }
});

test("of two Nodes that overlap the first by name keeps its pods' addresses, as all nodes agree", () => {
  const first = source();
  first.subnets.setNetwork(ipv4);
  const c = node("c", ["10.244.0.0/23"], managed);
  first.nodes.replaced([node("b", ["10.244.1.0/24"]), c]);
  expect(said(first)).toEqual({ subnets: ["10.244.1.0/24"], reasons: ["PodCIDROverlaps"], ready: true });

  const second = source();
  second.subnets.setNetwork(ipv4);
  const a = node("a", ["10.244.1.0/25"]);
  // Nobody announces a's podCIDR: the others know no way there.
  second.nodes.replaced([node("b", ["10.244.1.0/24"]), a]);
  expect(said(second)).toEqual({ subnets: ["10.244.1.0/24"], reasons: ["PodCIDROverlaps"], ready: true });
  second.nodes.changed({ ...a, metadata: { ...a.metadata, annotations: managed } });
  expect(said(second)).toEqual({ subnets: ["10.244.1.0/24"], reasons: ["PodCIDROverlaps"], ready: false });
  second.nodes.deleted("a");
  expect(said(second)).toEqual({ subnets: ["10.244.1.0/24"], reasons: [], ready: true });
});

test("Nodes that went while nobody watched are gone with the next list", () => {
  const cluster = source();
  cluster.subnets.setNetwork(ipv4);
  const b = node("b", ["10.244.1.0/24"]);
  cluster.nodes.replaced([node("a", ["10.244.1.0/24"], managed), b]);
  expect(said(cluster).ready).toBe(false);
  cluster.nodes.replaced([b]);
  expect(said(cluster)).toEqual({ subnets: ["10.244.1.0/24"], reasons: [], ready: true });
  cluster.nodes.replaced([]);
  expect(said(cluster).reasons).toEqual(["NodeMissing"]);
});

test("ten thousand Nodes of garbage are told apart from one that matters", () => {
  const cluster = source();
  cluster.subnets.setNetwork(ipv4);
  const garbage = Array.from({ length: 10_000 }, (_, index) =>
    node(`g${index}`, [["x", "10.244.1.0/24", "::/0", "0.0.0.0/0"][index % 4] ?? ""], {
      "flannel.alpha.coreos.com/public-ip": "z",
    }),
  );
  cluster.nodes.replaced([...garbage, node("b", ["10.244.1.0/24"])]);
  expect(said(cluster).subnets).toEqual(["10.244.1.0/24"]);
  expect(cluster.subnets.problems.length).toBeLessThan(10);
}, 60_000);

test("what the administrator wants the others to use, and what cannot be meant", () => {
  const { nodes } = source();
  nodes.replaced([node("b", [], { "flannel.alpha.coreos.com/public-ip-overwrite": "192.0.2.7" })]);
  expect(nodes.own?.overwritten as readonly string[]).toEqual(["192.0.2.7"]);
  nodes.changed(node("b", [], { "flannel.alpha.coreos.com/public-ip-overwrite": "here" }));
  expect(nodes.own?.overwritten).toEqual([]);
  expect(nodes.own?.errors[0]?.describe()).toContain("flannel.alpha.coreos.com/public-ip-overwrite");
});
