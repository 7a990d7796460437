import { expect, test } from "bun:test";
import type { Address } from "../base/address.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import type { ClusterNetwork, VxlanConfig } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import { compile } from "./compile.ts";

const vxlan: VxlanConfig = { type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };
const network = (backend: ClusterNetwork["backend"], range = "10.244.0.0/16"): ClusterNetwork => ({
  ipv4: {
    network: parsePrefix(range),
    subnetLength: 24,
    subnetMin: parsePrefix("10.244.1.0/24"),
    subnetMax: parsePrefix("10.244.255.0/24"),
  },
  backend,
  enableNFTables: false,
});
const local: LocalNode = {
  name: "node1",
  subnets: [parsePrefix("10.244.1.0/24")],
  underlay: {
    device: "eth0",
    index: 2,
    mtu: 1500,
    ipv4: "192.168.1.1" as Address,
    attached: [parsePrefix("192.168.1.0/24")],
  },
  macs: { "flannel.1": parseMac("02:00:00:00:00:01"), "flannel.1b": parseMac("02:00:00:00:00:02") },
};

const own = (sends: ClusterNetwork, ...receives: readonly ClusterNetwork[]) =>
  compile({ network: sends, receives, local }, []).own;

test("from a tunnel to plain routes: the tunnel stays, pods receive more than they send, filters are loose", () => {
  const state = own(network(vxlan), network({ type: "host-gw" }));
  expect(state.tunnels.map(({ name, mtu }) => ({ name, mtu }))).toEqual([{ name: "flannel.1", mtu: 1450 }]);
  expect([state.podMtu, state.podSendMtu]).toEqual([1500, 1450]);
  expect(state.sysctls).toContainEqual({ name: ["ipv4", "conf", "eth0", "rp_filter"], value: "2", device: "eth0" });
});

test("another port: two tunnels beside each other, each with its own name and Ethernet address", () => {
  const state = own(network(vxlan), network({ ...vxlan, port: 4789, variant: "b" }));
  expect(state.tunnels.map(({ name, mac, kind }) => [name, mac, kind.port] as unknown[])).toEqual([
    ["flannel.1", "02:00:00:00:00:01", 8472],
    ["flannel.1b", "02:00:00:00:00:02", 4789],
  ]);
  expect([state.podMtu, state.podSendMtu]).toEqual([1450, undefined]);
});

test("one tunnel of both has the MTU of the configuration by which the node sends", () => {
  const small = { ...vxlan, mtu: 1400 };
  expect(own(network(vxlan), network(small)).tunnels.map(({ mtu }) => mtu)).toEqual([1450]);
  expect(own(network(small), network(vxlan)).tunnels.map(({ mtu }) => mtu)).toEqual([1350]);
  for (const state of [own(network(vxlan), network(small)), own(network(small), network(vxlan))])
    expect([state.podMtu, state.podSendMtu]).toEqual([1450, 1350]);
});

test("the networks of all are the cluster's own; one inside another is said once", () => {
  const state = own(network(vxlan), network(vxlan, "10.244.0.0/15"), network(vxlan, "10.96.0.0/16"));
  expect(state.masquerade?.networks).toEqual(["10.244.0.0/15", "10.96.0.0/16"].map(parsePrefix));
});

test("alone, nothing of this is there", () => {
  const state = own(network(vxlan));
  expect(state.podSendMtu).toBeUndefined();
  expect(state.sysctls.some(({ device }) => device === "eth0")).toBe(false);
});
