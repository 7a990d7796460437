import { describe, expect, test } from "bun:test";
import { dualStack, macOf, onlyFamily } from "../backend/backend.contract.ts";
import { parseAddress } from "../base/address.ts";
import { localMac } from "../base/mac.ts";
import { overlaps, parsePrefix, prefixFamily } from "../base/prefix.ts";
import { seededRandom } from "../base/random.ts";
import type { ClusterNetwork, Lease } from "../model/network.ts";
import { type NodeState, problemsOf } from "../model/node-state.ts";
import { Compilation } from "./compilation.ts";
import { hostileLease, local, network, peer, shuffled } from "./compile.fixture.ts";
import { compile } from "./compile.ts";
import type { CompileInput } from "./own-state.ts";

const states = (leases: readonly Lease[], change: Partial<CompileInput> = {}): NodeState =>
  compile({ network, local, ...change }, leases);
/** "node-001 10.244.1.0/24" */
const routes = ({ peers }: NodeState): string[] =>
  [...peers].flatMap(([name, peer]) => peer.routes.map((route) => `${name} ${route.destination}`)).sort();
const served = ({ peers }: NodeState): string[] =>
  [...peers].flatMap(([name, peer]) => (peer.routes.length > 0 ? [name] : []));
const problems = (state: NodeState): string[] => problemsOf(state).map((problem) => problem.message);

describe("compile", () => {
  test("a node's whole state, in plain values", () => {
    const state = states([peer(1)]);
    expect(JSON.parse(JSON.stringify(state.own))).toEqual(state.own);
    expect(JSON.parse(JSON.stringify([...state.peers]))).toEqual([...state.peers]);
    expect(state.own).toMatchObject({
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
    expect(routes(state)).toEqual(["node-001 10.244.1.0/24", "node-001 fd00:10:244:1::/64"]);
  });

  test("masquerade can be left out", () => {
    expect(states([], { masquerade: false }).own.masquerade).toBeUndefined();
  });

  test("sysctls: accept_ra before forwarding, and loose rp_filter on our device", () => {
    const advertised = { ...local, underlay: { ...local.underlay, routerAdvertisements: true } };
    const { sysctls } = states([], { local: advertised }).own;
    expect(sysctls.map(({ name, value }) => `${name.join("/")}=${value}`)).toEqual([
      "ipv4/ip_forward=1",
      "ipv6/conf/eth0/accept_ra=2",
      "ipv6/conf/all/forwarding=1",
      "ipv4/conf/flannel.1/rp_filter=2",
      "ipv6/conf/flannel.1/accept_ra=0",
      "ipv6/conf/flannel-v6.1/disable_ipv6=0",
      "ipv6/conf/flannel-v6.1/accept_ra=0",
    ]);
    const alone = states([], { network: onlyFamily(network, 4), local: advertised }).own;
    const v4 = alone.sysctls.map(({ name }) => name.join("/"));
    expect(v4).not.toContain("ipv6/conf/all/forwarding");
    expect(v4).not.toContain("ipv6/conf/eth0/accept_ra");
  });

  test("the own lease is ignored", () => {
    expect(states([peer(1), peer(7, { node: local.name })])).toEqual(states([peer(1)]));
  });

  test("of two nodes with one subnet, the first by name keeps it and both are named", () => {
    const twin = peer(2, { subnets: [parsePrefix("10.244.1.0/24")] });
    const state = states([twin, peer(1)]);
    expect(served(state)).toEqual(["node-001"]);
    expect(problems(state)).toEqual([
      "nodes node-001 and node-002 claim the same addresses, 10.244.1.0/24 and 10.244.1.0/24; node-001 keeps them",
    ]);
  });

  test("a wider and a narrower claim overlap too, whichever comes first", () => {
    const input = { network: onlyFamily(network, 4), local: { ...local, subnets: [parsePrefix("10.244.99.0/24")] } };
    const wide = (node: string): Lease => peer(9, { node, subnets: [parsePrefix("10.244.0.0/20")] });
    const narrow = (node: string): Lease => peer(8, { node, subnets: [parsePrefix("10.244.8.0/24")] });
    expect(served(states([wide("a"), narrow("b")], input))).toEqual(["a"]);
    expect(served(states([wide("b"), narrow("a")], input))).toEqual(["a"]);
  });

  test("this node's own subnet is its own", () => {
    const state = states([peer(1, { node: "a-first", subnets: local.subnets })]);
    expect(routes(state)).toEqual([]);
    expect(problems(state).every((message) => message.includes("local and a-first"))).toBe(true);
    expect(problems(state).length).toBe(2);
  });

  test("subnets outside the network are refused one by one", () => {
    const odd = peer(1, { subnets: [parsePrefix("10.99.1.0/24"), parsePrefix("fd00:10:244:1::/64")] });
    expect(routes(states([odd]))).toEqual(["node-001 fd00:10:244:1::/64"]);
    expect(problems(states([odd]))).toEqual([
      "node node-001 claims 10.99.1.0/24, which is outside the cluster's network 10.244.0.0/16",
    ]);
    expect(problems(states([peer(1)], { network: onlyFamily(network, 4) }))[0]).toContain("no IPv6 network");
  });

  test("a peer with this node's address is left out, and not asked", () => {
    const thief = peer(1, { addresses: [parseAddress("192.168.0.1")], peerPort: 9098 });
    const state = states([thief, peer(2)]);
    expect(served(state)).toEqual(["node-002"]);
    expect(state.peers.get("node-001")?.contact).toBeUndefined();
    expect(problems(state)[0]).toContain("192.168.0.1");
  });

  test("an object that calls itself otherwise than it is stored is left out", () => {
    const compilation = new Compilation({ network, local });
    compilation.patch(new Map([["node-009", peer(1)]]));
    expect(served(compilation)).toEqual([]);
    expect(problems(compilation)).toEqual(["the datastore's node node-009 calls itself node-001; it is left out"]);
  });

  test("a peer of another backend is said, and the others stay as they are", () => {
    const state = states([peer(1), peer(2, { backendType: "host-gw" })]);
    expect(state.peers.get("node-001")).toEqual(states([peer(1)]).peers.get("node-001"));
    expect(served(state)).toEqual(["node-001"]);
    expect(problems(state)[0]).toContain('node node-002 uses the backend "host-gw", this node "vxlan"');
  });

  test("of cloned machines, the first by name keeps the tunnel's address, and this node before all", () => {
    const cloned = (number: number, mac = macOf(4)) => peer(number, { backendData: { 4: { VNI: 1, VtepMAC: mac } } });
    const v4 = { network: onlyFamily(network, 4), local: { ...local, macs: { "flannel.1": macOf(9) } } };
    const only4 = (lease: Lease): Lease => ({ ...lease, subnets: lease.subnets.filter((s) => prefixFamily(s) === 4) });
    const state = states([cloned(6), cloned(4), cloned(2, macOf(9))].map(only4), v4);
    expect(served(state)).toEqual(["node-004"]);
    expect(state.peers.get("node-006")).toMatchObject({ routes: [], neighbours: [], forwarding: [] });
    expect(problems(state).sort()).toEqual([
      `node node-002 has the same tunnel address ${macOf(9)} as node local; local keeps it`,
      `node node-006 has the same tunnel address ${macOf(4)} as node node-004; node-004 keeps it`,
    ]);
  });

  test("where a peer's agent is asked: through the tunnel only at an address that is the peer's beyond doubt", () => {
    const [first, twin] = [peer(1, { peerPort: 9098 }), peer(2, { peerPort: 9098, subnets: peer(1).subnets })];
    const state = states([first, twin, peer(3)]);
    const overlay = parseAddress("10.244.1.0");
    const underlay = parseAddress("192.168.0.2");
    expect(state.peers.get("node-001")?.contact).toEqual({ port: 9098, underlay, overlay });
    expect(state.peers.get("node-002")?.contact).toEqual({ port: 9098, underlay: parseAddress("192.168.0.3") });
    expect(state.peers.get("node-003")?.contact).toBeUndefined();
    const direct = states([{ ...first, backendType: "host-gw" }], { network: dualStack({ type: "host-gw" }) });
    expect(direct.peers.get("node-001")?.contact).toEqual({ port: 9098, underlay });
  });
});

test("property: the order of the leases never matters, and accepted subnets never overlap", () => {
  const input = { network: onlyFamily(network, 4) };
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const leases = Array.from({ length: 25 }, (_, index) => hostileLease(random, `node-${index}`));
    const state = states(leases, input);
    expect({ seed, state: states(shuffled(random, leases), input) }).toEqual({ seed, state });
    const all = [
      ...[...state.peers.values()].flatMap((part) => part.routes.map((route) => route.destination)),
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
  states(leases.slice(0, 500), { network: wide });
  const start = performance.now();
  const state = states(leases, { network: wide });
  const took = performance.now() - start;
  console.log(`compile of 5,000 peers: ${took.toFixed(1)} ms`);
  expect(served(state).length).toBe(5000);
  // 100 ms on a quiet machine. The bound tells only that nothing is quadratic: test machines are busy.
  expect(took).toBeLessThan(30_000);
});
