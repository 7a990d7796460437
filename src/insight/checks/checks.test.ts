import { expect, setDefaultTimeout, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { parseMac } from "../../base/mac.ts";
import { parsePrefix } from "../../base/prefix.ts";
import type { Lease } from "../../model/network.ts";
import type { Neighbour } from "../../objects/neighbour.ts";
import { conclude } from "../conclude.ts";
import { type Card, factsOf, type NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { type KernelView, noRuleset } from "../kernel-view.ts";
import { compareCards, type HeardCard } from "./cards.ts";
import { checkInterface } from "./identity.ts";
import { checkBridgeFilter, checkTables } from "./settings.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

/** What a lab cannot break alone: the kernel keeps these tables and clocks for the whole machine. */

const emptyKernel: KernelView = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  fdb: [],
  ruleset: noRuleset,
  settings: new Map(),
};

function facts(
  kernel: Partial<KernelView>,
  attachment: "routed" | "bridge" = "routed",
  leases: readonly Lease[] = [],
): NodeFacts {
  const view = { node: "node1", kernel: { ...emptyKernel, ...kernel }, pods: [], legacyTables: [], underlay: "eth0" };
  return factsOf(view, {
    version: "1",
    pluginVersion: "1",
    identity: "a",
    networks: [parsePrefix("10.244.0.0/16")],
    state: undefined,
    leases: new Map(leases.map((lease) => [lease.node, lease])),
    attachment,
    waitingFor: [],
    problems: [],
  });
}
const ids = (findings: readonly Finding[]): string[] => findings.map(({ node, id }) => `${node} ${id}`);
const settings = (values: Readonly<Record<string, string>>) => ({ settings: new Map(Object.entries(values)) });

test("conntrack: full, and far from it", () => {
  const [count, most] = ["netfilter/nf_conntrack_count", "netfilter/nf_conntrack_max"];
  expect(ids(checkTables(facts(settings({ [count]: "65536", [most]: "65536" }))))).toEqual(["node1 conntrack-full"]);
  expect(ids(checkTables(facts(settings({ [count]: "30000", [most]: "65536" }))))).toEqual([]);
  expect(ids(checkTables(facts(settings({ [count]: "0", [most]: "0" }))))).toEqual([]);
});

test("neighbour table: permanent entries do not count", () => {
  const entries = (state: Neighbour["state"]): Neighbour[] =>
    Array.from({ length: 1024 }, (_, index) => ({
      device: 1,
      address: parseAddress(`10.1.${index >> 8}.${index & 255}`),
      state,
    }));
  const limit = settings({ "ipv4/neigh/default/gc_thresh3": "1024" });
  expect(ids(checkTables(facts({ ...limit, neighbours: entries("stale") })))).toEqual(["node1 neighbour-table-full"]);
  expect(ids(checkTables(facts({ ...limit, neighbours: entries("permanent") })))).toEqual([]);
});

test("br_netfilter: only where pods hang on a bridge", () => {
  expect(ids(checkBridgeFilter(facts({}, "bridge")))).toEqual(["node1 br-netfilter"]);
  expect(ids(checkBridgeFilter(facts(settings({ "bridge/bridge-nf-call-iptables": "0" }), "bridge")))).toEqual([
    "node1 br-netfilter",
  ]);
  expect(ids(checkBridgeFilter(facts(settings({ "bridge/bridge-nf-call-iptables": "1" }), "bridge")))).toEqual([]);
  expect(ids(checkBridgeFilter(facts({})))).toEqual([]);
});

const card = (node: string, more: Partial<HeardCard> = {}): HeardCard => ({
  node,
  version: "1",
  now: 0,
  tunnels: [],
  pods: [],
  checksumErrors: 0,
  skew: 0,
  uncertainty: 5,
  ...more,
});
const own: Card = card("node1", { pods: [{ id: "default/a", addresses: [parseAddress("10.244.1.2")] }] });

test("clocks: the one that differs from most is the wrong one", () => {
  const hour = 3_600_000;
  expect(ids(compareCards(facts({}), own, [card("node2"), card("node3", { skew: hour })]))).toEqual(["node3 clock"]);
  expect(ids(compareCards(facts({}), own, [card("node2", { skew: hour }), card("node3", { skew: hour })]))).toEqual([
    "node1 clock",
  ]);
  expect(ids(compareCards(facts({}), own, [card("node2", { skew: hour, uncertainty: hour })]))).toEqual([]);
});

test("one address, two pods on two nodes; one version among others; a VTEP that moved", () => {
  const twin = card("node2", { pods: [{ id: "default/b", addresses: [parseAddress("10.244.1.2")] }] });
  const [conflict] = compareCards(facts({}), own, [twin]);
  expect(conflict).toMatchObject({ id: "address-conflict", subject: "10.244.1.2" });
  expect(conflict?.title).toContain("pod default/a on node1, pod default/b on node2");
  expect(ids(compareCards(facts({}), own, [card("node2", { version: "2" }), card("node3")]))).toEqual([
    "node2 version",
  ]);
  const mac = parseMac("02:00:00:00:00:01");
  const wanted = {
    ...facts({}),
    neighbours: [{ peer: "node2", device: "flannel.1", address: parseAddress("10.244.2.0"), mac }],
  };
  const moved = card("node2", { tunnels: [{ device: "flannel.1", mac: parseMac("02:00:00:00:00:02") }] });
  expect(ids(compareCards(wanted, own, [moved]))).toEqual(["node2 vtep-mac"]);
});

test("two nodes behind one NAT address", () => {
  const lease = (node: string): Lease => ({
    node,
    subnets: [],
    addresses: [parseAddress("10.0.2.15")],
    backendType: "vxlan",
    backendData: {},
  });
  const [finding] = checkInterface(facts({}, "routed", [lease("node1"), lease("node2")]));
  expect(finding).toMatchObject({ id: "wrong-interface" });
  expect(finding?.title).toContain("tell the cluster one address, 10.0.2.15");
});

const finding = (id: Finding["id"], node: string, more: Partial<Finding> = {}): Finding => ({
  ...{ id, node, severity: "error", subject: id, title: "", explanation: "", evidence: [], remedy: "" },
  ...more,
});

test("a lost probe is told only where nothing else explains it", () => {
  const stopped = finding("probe-stopped", "node1", { from: "node1", peers: ["node2"] });
  const told = (...others: Finding[]) => ids(conclude([stopped, ...others])).includes("node1 probe-stopped");
  expect(told()).toBe(true);
  expect(told(finding("dns", "node1"))).toBe(true);
  expect(told(finding("route", "node1", { peers: ["node3"] }))).toBe(true);
  expect(told(finding("route", "node3", { peers: ["node1"] }))).toBe(true);
  expect(told(finding("route", "node1", { peers: ["node2"] }))).toBe(false);
  expect(told(finding("route", "node2", { peers: ["node1"] }))).toBe(false);
  expect(told(finding("tunnel", "node2"))).toBe(false);
  expect(told(finding("conntrack-full", "node2"))).toBe(false);
  const path = finding("path", "node2", { from: "node1", peers: ["node2"] });
  expect(ids(conclude([path, finding("firewall", "node1")]))).toContain("node2 path");
  expect(ids(conclude([path, finding("firewall", "node2")]))).toEqual(["node2 firewall"]);
});

test("who can open no connection does not accuse the others of silence", () => {
  const away = finding("agent-away", "node2", { from: "node1" });
  expect(ids(conclude([away]))).toEqual(["node2 agent-away"]);
  expect(ids(conclude([away, finding("conntrack-full", "node1")]))).toEqual(["node1 conntrack-full"]);
});
