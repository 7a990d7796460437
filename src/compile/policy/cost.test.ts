import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import type { PeerMatch, Policy, PolicyRule } from "../../model/policy.ts";
import type { PolicyChange } from "../../model/policy-state.ts";
import { PolicyCompiler } from "./compiler.ts";
import { emptyModel, type MutableModel } from "./random-model.fixture.ts";

const node = "here";
const tcp = (port: number) => ({ protocol: 6, ports: { first: port, last: port } });
const app = (value: string): PeerMatch => ({
  endpoints: { namespace: "a", labels: { op: "in", key: "app", values: [value] } },
});
const allow = (source: PeerMatch, ...ports: number[]): PolicyRule => ({
  action: "allow",
  source,
  traffic: ports.map(tcp),
});

class Cluster {
  readonly model: MutableModel = emptyModel();
  readonly compiler = new PolicyCompiler(this.model, { node });
  #pods = 0;

  constructor() {
    this.model.namespaces.set("a", { name: "a", labels: {} });
    this.model.tiers.set("default", { name: "default", order: 1, defaultAction: "deny" });
  }

  /** @returns the pod's name and how to hear of the change. */
  pod(labels: Record<string, string>, options: { readonly local?: boolean; readonly pod?: string } = {}): string {
    const number = ++this.#pods;
    const pod = options.pod ?? `p${number}`;
    const before = this.model.endpoints.get(`a/${pod}`)?.addresses;
    const addresses = before ?? [
      parseAddress(`10.0.${number >> 8}.${number & 255}`),
      parseAddress(`fd00::${number.toString(16)}`),
    ];
    this.model.endpoints.set(`a/${pod}`, {
      namespace: "a",
      pod,
      node: options.local === true ? node : "elsewhere",
      labels,
      addresses,
      ports: [],
    });
    return `a/${pod}`;
  }

  policy(name: string, ...ingress: readonly PolicyRule[]): string {
    const id = { kind: "NetworkPolicy", namespace: "a", name } as const;
    const policy: Policy = {
      id,
      tier: "default",
      order: 1,
      subject: { namespace: "a", labels: { op: "in", key: "app", values: ["server"] } },
      ingress,
      allowsOwnNode: true,
    };
    this.model.policies.set(name, policy);
    return name;
  }

  update(...endpoints: readonly string[]): PolicyChange {
    return this.compiler.update({ endpoints: new Set(endpoints) });
  }

  classOf(pod: string): number | undefined {
    const [address] = this.model.endpoints.get(pod)?.addresses ?? [];
    return address === undefined ? undefined : this.compiler.state.addresses.get(address)?.class;
  }
}

const rows = ({ addresses, networks, ports, decisions, verdicts }: PolicyChange) => ({
  addresses: addresses.size,
  networks: networks?.length ?? 0,
  ports: ports.size,
  decisions: decisions.size,
  verdicts: verdicts.size,
});
const addressesOnly = (count: number) => ({ addresses: count, networks: 0, ports: 0, decisions: 0, verdicts: 0 });

function served(): Cluster {
  const cluster = new Cluster();
  cluster.pod({ app: "server" }, { local: true, pod: "server" });
  cluster.policy("clients", allow(app("client"), 80, 443));
  for (let count = 0; count < 10; count++) cluster.pod({ app: "client" });
  cluster.compiler.update();
  return cluster;
}

test("a pod of a known class is one row for each of its addresses, coming and going", () => {
  const cluster = served();
  const pod = cluster.pod({ app: "client", version: "2" });
  expect(rows(cluster.update(pod))).toEqual(addressesOnly(2));
  cluster.model.endpoints.delete(pod);
  expect(rows(cluster.update(pod))).toEqual(addressesOnly(2));
});

test("a pod that no policy of this node can tell from a stranger is no row at all", () => {
  const cluster = served();
  expect(rows(cluster.update(cluster.pod({ app: "other" })))).toEqual(addressesOnly(0));
});

test("one more local pod of a known group is one row for each of its addresses", () => {
  const cluster = served();
  expect(rows(cluster.update(cluster.pod({ app: "server" }, { local: true })))).toEqual(addressesOnly(2));
});

test("a rule for clients that are told apart already changes no address", () => {
  const cluster = served();
  const change = cluster.compiler.update({ policies: new Set([cluster.policy("more", allow(app("client"), 8080))]) });
  expect(rows(change)).toMatchObject({ addresses: 0, networks: 0 });
});

test("a new condition that holds for a whole class leaves it its number", () => {
  const cluster = served();
  const everybody: PeerMatch = { endpoints: { namespace: "a", labels: { op: "has", key: "app" } } };
  const before = cluster.classOf("a/p2");
  // The server itself gets a class by this, having had none; its clients keep theirs.
  const change = cluster.compiler.update({ policies: new Set([cluster.policy("all", allow(everybody, 9090))]) });
  expect(cluster.classOf("a/p2")).toBe(before);
  expect(change.addresses.size).toBe(2);
});

test("a class that is cut in two keeps its number for the larger part, and gets it back", () => {
  const cluster = served();
  const canary = cluster.pod({ app: "client", canary: "yes" });
  cluster.update(canary);
  const before = cluster.classOf("a/p2");
  const isCanary: PeerMatch = { endpoints: { labels: { op: "in", key: "canary", values: ["yes"] } } };
  const cut = cluster.compiler.update({ policies: new Set([cluster.policy("canary", allow(isCanary, 81))]) });
  expect([...cut.addresses.keys()]).toEqual([...(cluster.model.endpoints.get(canary)?.addresses ?? [])]);
  expect(cluster.classOf("a/p2")).toBe(before);
  const others = { endpoints: { labels: { op: "not-in", key: "canary", values: ["yes"] } } } as const;
  cluster.compiler.update({
    policies: new Set([cluster.policy("canary", allow({ all: [app("client"), others] }, 81))]),
  });
  expect(cluster.classOf("a/p2")).toBe(before);
  cluster.model.policies.delete("canary");
  const joined = cluster.compiler.update({ policies: new Set(["canary"]) });
  expect(cluster.classOf("a/p2")).toBe(before);
  expect(joined.addresses.size).toBe(2);
});

test("a network around pods leaves their classes their numbers", () => {
  const cluster = served();
  const before = cluster.classOf("a/p2");
  const around: PeerMatch = { networks: [parsePrefix("10.0.0.0/8"), parsePrefix("fd00::/8")], except: [] };
  const change = cluster.compiler.update({ policies: new Set([cluster.policy("around", allow(around, 7000))]) });
  expect(cluster.classOf("a/p2")).toBe(before);
  expect(change.networks).toHaveLength(2);
  // The server was of class 0; a row of its own hides the network's.
  expect([...change.addresses.keys()]).toEqual([...(cluster.model.endpoints.get("a/server")?.addresses ?? [])]);
});

test("a policy that selects no endpoint of this node is no row, and its conditions tell nobody apart", () => {
  const cluster = served();
  const name = cluster.policy("elsewhere", allow(app("other"), 1));
  const policy = cluster.model.policies.get(name);
  if (policy !== undefined) cluster.model.policies.set(name, { ...policy, subject: { namespace: "b" } });
  expect(rows(cluster.compiler.update({ policies: new Set([name]) }))).toEqual(addressesOnly(0));
});

test("one rule changed among many changes its own decisions", () => {
  const cluster = new Cluster();
  cluster.pod({ app: "server" }, { local: true, pod: "server" });
  for (let count = 0; count < 50; count++) {
    cluster.pod({ app: `client${count}` });
    cluster.policy(`clients${count}`, allow(app(`client${count}`), 80));
  }
  cluster.compiler.update();
  const change = cluster.compiler.update({
    policies: new Set([cluster.policy("clients7", allow(app("client7"), 81))]),
  });
  expect(rows(change)).toMatchObject({ addresses: 0, decisions: 2, ports: 1, verdicts: 0 });
});
