import { describe, expect, test } from "bun:test";
import { dualStack, lease, localNode, macOf, onlyFamily } from "../backend/backend.contract.ts";
import { parseAddress } from "../base/address.ts";
import { localMac } from "../base/mac.ts";
import { overlaps, parsePrefix, prefixFamily } from "../base/prefix.ts";
import { pick, type Random, seededRandom } from "../base/random.ts";
import type { ClusterNetwork, Lease, VxlanConfig } from "../model/network.ts";
import { compile } from "./compile.ts";

const config: VxlanConfig = { type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };
const network = dualStack(config);
const local = localNode(["flannel.1", "flannel-v6.1"]);
const peer = (number: number, change: Partial<Lease> = {}): Lease => ({
  ...lease("vxlan", number, { 4: { VNI: 1, VtepMAC: macOf(number) }, 6: { VNI: 1, VtepMAC: macOf(number) } }),
  ...change,
});
const routesOf = (leases: readonly Lease[], of: ClusterNetwork = network) =>
  compile(of, local, leases).routes.map((route) => `${route.peer} ${route.destination}`);

describe("compile", () => {
  test("a node's whole state, as a plain value", () => {
    const state = compile(network, local, [peer(1)]);
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    expect(state).toMatchObject({
      node: "local",
      podMtu: 1430,
      subnets: ["10.244.0.0/24", "fd00:10:244::/64"],
      masquerade: {
        networks: ["10.244.0.0/16", "fd00:10:244::/48"],
        local: ["10.244.0.0/24", "fd00:10:244::/64"],
        families: [4, 6],
      },
      problems: [],
    });
    expect(state.routes.length).toBe(2);
  });

  test("masquerade can be left out", () => {
    expect(compile(network, local, [], { masquerade: false }).masquerade).toBeUndefined();
  });

  test("sysctls: accept_ra before forwarding, and loose rp_filter on our device", () => {
    const advertised = { ...local, underlay: { ...local.underlay, routerAdvertisements: true } };
    expect(compile(network, advertised, []).sysctls.map(({ name, value }) => `${name.join("/")}=${value}`)).toEqual([
      "ipv4/ip_forward=1",
      "ipv6/conf/eth0/accept_ra=2",
      "ipv6/conf/all/forwarding=1",
      "ipv4/conf/flannel.1/rp_filter=2",
      "ipv6/conf/flannel.1/accept_ra=0",
      "ipv6/conf/flannel-v6.1/disable_ipv6=0",
      "ipv6/conf/flannel-v6.1/accept_ra=0",
    ]);
    const v4 = compile(onlyFamily(network, 4), advertised, []).sysctls.map(({ name }) => name.join("/"));
    expect(v4).not.toContain("ipv6/conf/all/forwarding");
    expect(v4).not.toContain("ipv6/conf/eth0/accept_ra");
  });

  test("of two nodes with one subnet, the first by name keeps it and both are named", () => {
    const twin = peer(2, { subnets: [parsePrefix("10.244.1.0/24")] });
    const state = compile(network, local, [twin, peer(1)]);
    expect(state.routes.map((route) => route.peer)).toEqual(["node-001", "node-001"]);
    expect(state.problems.map((problem) => problem.message)).toEqual([
      "nodes node-001 and node-002 claim the same addresses, 10.244.1.0/24 and 10.244.1.0/24; node-001 keeps them",
    ]);
  });

  test("a wider and a narrower claim overlap too, whichever comes first", () => {
    const v4 = onlyFamily(network, 4);
    const wide = (node: string): Lease => peer(9, { node, subnets: [parsePrefix("10.244.0.0/20")] });
    const narrow = (node: string): Lease => peer(8, { node, subnets: [parsePrefix("10.244.8.0/24")] });
    const far = { ...local, subnets: [parsePrefix("10.244.99.0/24")] };
    const kept = (leases: readonly Lease[]) => compile(v4, far, leases).routes.map((route) => route.peer);
    expect(kept([wide("a"), narrow("b")])).toEqual(["a"]);
    expect(kept([wide("b"), narrow("a")])).toEqual(["a"]);
  });

  test("this node's own subnet is its own", () => {
    const thief = peer(1, { node: "a-first", subnets: local.subnets });
    const state = compile(network, local, [thief]);
    expect(state.routes).toEqual([]);
    expect(state.problems.every((problem) => problem.message.includes("local and a-first"))).toBe(true);
    expect(state.problems.length).toBe(2);
  });

  test("subnets outside the network are refused one by one", () => {
    const odd = peer(1, { subnets: [parsePrefix("10.99.1.0/24"), parsePrefix("fd00:10:244:1::/64")] });
    expect(routesOf([odd])).toEqual(["node-001 fd00:10:244:1::/64"]);
    const said = compile(network, local, [odd]).problems;
    expect(said.map((problem) => problem.message)).toEqual([
      "node node-001 claims 10.99.1.0/24, which is outside the cluster's network 10.244.0.0/16",
    ]);
    expect(compile(onlyFamily(network, 4), local, [peer(1)]).problems[0]?.message).toContain("no IPv6 network");
  });

  test("a peer with this node's address is left out", () => {
    const state = compile(network, local, [peer(1, { addresses: [parseAddress("192.168.0.1")] }), peer(2)]);
    expect(new Set(state.routes.map((route) => route.peer))).toEqual(new Set(["node-002"]));
    expect(state.problems[0]?.message).toContain("192.168.0.1");
  });
});

/** Leases as a hostile or confused cluster might write them: overlaps, strangers, missing addresses, doubled MACs. */
function randomLease(random: Random, number: number): Lease {
  const third = random.below(30);
  const lengths = [22, 24, 24, 24, 26];
  const base = peer(number, { node: `node-${number}` });
  const mac = macOf(random.below(40));
  return {
    ...base,
    subnets: [parsePrefix(`10.${random.below(12) === 0 ? 9 : 244}.${third}.0/${pick(random, lengths)}`)],
    addresses: random.below(10) === 0 ? [] : base.addresses,
    backendType: random.below(12) === 0 ? "host-gw" : "vxlan",
    backendData: random.below(10) === 0 ? {} : { 4: { VNI: random.below(10) === 0 ? 2 : 1, VtepMAC: mac } },
  };
}

test("property: the order of the leases never matters, and accepted subnets never overlap", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const leases = Array.from({ length: 25 }, (_, index) => randomLease(random, index + 1));
    const state = compile(onlyFamily(network, 4), local, leases);
    const shuffled = leases.map((one) => ({ one, at: random.below(1e9) })).sort((a, b) => a.at - b.at);
    const again = compile(
      onlyFamily(network, 4),
      local,
      shuffled.map(({ one }) => one),
    );
    expect({ seed, state: again }).toEqual({ seed, state });
    const all = [
      ...state.routes.map((route) => route.destination),
      ...local.subnets.filter((s) => prefixFamily(s) === 4),
    ];
    for (const [index, a] of all.entries()) {
      for (const b of all.slice(index + 1))
        expect({ seed, a, b, overlap: overlaps(a, b) }).toEqual({ seed, a, b, overlap: false });
    }
  }
});

test("5,000 peers compile in time", () => {
  const wide: ClusterNetwork = {
    ...onlyFamily(network, 4),
    ipv4: {
      network: parsePrefix("10.0.0.0/8"),
      subnetLength: 24,
      subnetMin: parsePrefix("10.0.0.0/24"),
      subnetMax: parsePrefix("10.255.255.0/24"),
    },
  };
  const random = seededRandom(1);
  const leases = Array.from(
    { length: 5000 },
    (_, index): Lease => ({
      node: `node-${index}`,
      subnets: [parsePrefix(`10.${(index >> 8) + 1}.${index & 255}.0/24`)],
      addresses: [parseAddress(`172.16.${index >> 8}.${index & 255}`)],
      backendType: "vxlan",
      backendData: { 4: { VNI: 1, VtepMAC: localMac(random.bytes(6)) } },
    }),
  );
  compile(wide, local, leases.slice(0, 500));
  const start = performance.now();
  const state = compile(wide, local, leases);
  const took = performance.now() - start;
  console.log(`compile of 5,000 peers: ${took.toFixed(1)} ms`);
  expect(state.routes.length).toBe(5000);
  // The goal is 100 ms; the bound is generous because test machines are busy.
  expect(took).toBeLessThan(3000);
});
