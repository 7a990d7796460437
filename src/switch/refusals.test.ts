import { expect, test } from "bun:test";
import type { Address } from "../base/address.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { BackendConfig, ClusterNetwork, Lease, NetworkRange, VxlanConfig } from "../model/network.ts";
import { planChange } from "./plan.ts";
import { refusals } from "./refusals.ts";

const range = (network: string): NetworkRange => ({
  network: parsePrefix(network),
  subnetLength: 24,
  subnetMin: parsePrefix(network.replace(".0.0/16", ".1.0/24")),
  subnetMax: parsePrefix(network.replace(".0.0/16", ".255.0/24")),
});
const vxlan: VxlanConfig = { type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };
const hostgw: BackendConfig = { type: "host-gw" };
const network = (backend: BackendConfig, more: Partial<ClusterNetwork> = {}): ClusterNetwork => ({
  ipv4: range("10.244.0.0/16"),
  backend,
  enableNFTables: false,
  ...more,
});
const lease = (number: number, link = 1): Lease => ({
  node: `node${number}`,
  id: `id${number}`,
  subnets: [parsePrefix(`10.244.${number}.0/24`)],
  addresses: [`192.168.${link}.${number}` as Address],
  backendType: "vxlan",
  backendData: {},
  underlays: [parsePrefix(`192.168.${link}.0/24`)],
  underlayMtu: 1500,
});
const reasons = (from: ClusterNetwork, to: ClusterNetwork, leases: readonly Lease[]) =>
  refusals(from, to, leases).map(({ reason, subject }) => `${reason} ${subject}`);

test("nothing stands in the way of what two tunnels, or plain routes, can carry beside each other", () => {
  const all = [lease(1), lease(2)];
  for (const to of [hostgw, { ...vxlan, vni: 7 }, { ...vxlan, port: 4789 }, { ...vxlan, mtu: 1400 }])
    expect(reasons(network(vxlan), network(to), all)).toEqual([]);
  expect(reasons(network(hostgw), network(vxlan), all)).toEqual([]);
});

test("host-gw needs one link; a node that does not say what it is attached to is judged by the other", () => {
  expect(reasons(network(vxlan), network(hostgw), [lease(1), lease(2, 2)])).toEqual(["OtherLink node2"]);
  const { underlays: _, ...silent } = lease(2);
  expect(reasons(network(vxlan), network(hostgw), [lease(1), silent])).toEqual([]);
});

test("flanneld takes no part in anything", () => {
  const { id: _, ...stranger } = lease(2);
  expect(reasons(network(vxlan), network({ ...vxlan, vni: 7 }), [lease(1), stranger])).toEqual(["ForeignNode node2"]);
});

test("what a tunnel's socket is bound to cannot change beside itself", () => {
  const from = network(vxlan);
  expect(reasons(from, network({ ...vxlan, gbp: true }), [])).toEqual(["SameTunnel Backend.GBP"]);
  expect(reasons(from, network({ ...vxlan, gbp: true, vni: 7 }), [])).toEqual(["SameTunnel Backend.GBP"]);
  expect(reasons(from, network({ ...vxlan, gbp: true, port: 4789 }), [])).toEqual([]);
  expect(reasons(from, network({ ...vxlan, learning: true }), [])).toEqual(["SameTunnel Backend.Learning"]);
  expect(reasons(from, network({ ...vxlan, learning: true, vni: 7 }), [])).toEqual([]);
});

test("a range in use stays, retired or not, until its nodes have left it", () => {
  const other = network(vxlan, { ipv4: range("10.245.0.0/16") });
  const retired = { ...other, further: [{ ...range("10.244.0.0/16"), retired: true }] };
  expect(reasons(network(vxlan), other, [lease(1)])).toEqual(["RangeInUse node1"]);
  expect(reasons(network(vxlan), retired, [lease(1)])).toEqual([]);
  expect(reasons(retired, other, [{ ...lease(1), subnets: [parsePrefix("10.245.1.0/24")] }])).toEqual([]);
});

test("the plan names what changes on which node", () => {
  const all = [lease(1), lease(2), lease(3, 2)];
  const direct = planChange(network(vxlan), network({ ...vxlan, directRouting: true }), all);
  expect(direct.nodes).toEqual([
    { node: "node1", changes: ["tunnel → direct: node2"] },
    { node: "node2", changes: ["tunnel → direct: node1"] },
    { node: "node3", changes: [] },
  ]);
  const small = { ...lease(2), underlayMtu: 9000 };
  const plain = planChange(network(vxlan), network(hostgw), [lease(1), small]);
  expect(plain.nodes[1]).toEqual({
    node: "node2",
    changes: ["tunnel flannel.1 (VNI 1, port 8472) goes", "tunnel → direct: node1", "MTU of pods 8950 → 9000"],
  });
  const other = network(vxlan, {
    ipv4: range("10.245.0.0/16"),
    further: [{ ...range("10.244.0.0/16"), retired: true }],
  });
  expect(planChange(network(vxlan), other, [lease(1)]).nodes[0]?.changes).toEqual([
    "new pods get addresses of another subnet; 10.244.1.0/24 is given back when its last pod is gone",
  ]);
});
