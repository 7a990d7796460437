import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import { kubernetesTiers, type Policy, policyName, type WorkloadEndpoint } from "../../model/policy.ts";
import { compilePolicy, PolicyCompiler } from "./compiler.ts";
import { evaluate } from "./evaluate.ts";
import type { Flow } from "./flow.ts";
import { verdictOf } from "./lookup.ts";
import { emptyModel, type MutableModel } from "./random-model.fixture.ts";

const address = parseAddress;
const web = address("10.0.0.1");
const client = address("10.0.1.2");
const flow = (source: string, destination: string, port = 80): Flow => ({
  source: address(source),
  destination: address(destination),
  protocol: 6,
  port,
});

function cluster(...policies: readonly Policy[]): MutableModel {
  const model = emptyModel();
  model.namespaces.set("shop", { name: "shop", labels: {} });
  for (const tier of kubernetesTiers) model.tiers.set(tier.name, tier);
  model.nodes.set("n1", { name: "n1", labels: {}, addresses: [address("192.168.0.1")] });
  model.nodes.set("n2", { name: "n2", labels: {}, addresses: [address("192.168.0.2")] });
  model.endpoints.set("shop/web", endpoint("web", "n1", web));
  model.endpoints.set("shop/client", endpoint("client", "n2", client));
  for (const policy of policies) model.policies.set(policyName(policy.id), policy);
  return model;
}

const endpoint = (
  pod: string,
  node: string,
  ...addresses: readonly ReturnType<typeof address>[]
): WorkloadEndpoint => ({
  namespace: "shop",
  pod,
  node,
  labels: { app: pod },
  addresses,
  ports: [],
});

const app = (value: string) =>
  ({ endpoints: { namespace: "shop", labels: { op: "in", key: "app", values: [value] } } }) as const;

const policy = (name: string, rest: Partial<Policy>): Policy => ({
  id: { kind: "NetworkPolicy", namespace: "shop", name },
  tier: "default",
  order: 1000,
  subject: { namespace: "shop", labels: { op: "in", key: "app", values: ["web"] } },
  allowsOwnNode: true,
  ...rest,
});

test("a denial says who isolates, and which rule came close for what", () => {
  const rule = {
    action: "allow",
    source: app("client"),
    traffic: [{ protocol: 6, ports: { first: 443, last: 443 } }],
  } as const;
  const model = cluster(policy("tls", { ingress: [rule] }));
  const { verdict, ingress, egress } = evaluate(model, flow(client, web));
  expect(verdict).toBe("deny");
  expect(egress.map(({ decision }) => decision.reason)).toEqual([{ by: "no-policy" }]);
  const [judged] = ingress;
  expect(judged?.endpoint).toBe("shop/web");
  expect(judged?.decision.reason).toEqual({
    by: "tier",
    tier: "default",
    isolatedBy: [{ kind: "NetworkPolicy", namespace: "shop", name: "tls" }],
  });
  expect(judged?.tiers[0]?.outcome).toBe("default-deny");
  expect(judged?.tiers[0]?.policies[0]?.rules).toEqual([{ rule: 0, action: "allow", matched: 0, missed: ["traffic"] }]);
});

test("what a broken policy selects is denied at its place, after those before it", () => {
  const allowing = policy("a-first", { ingress: [{ action: "allow", source: app("client") }] });
  const model = cluster(allowing, policy("broken", { ingress: [], broken: "no such operator" }));
  expect(evaluate(model, flow(client, web)).verdict).toBe("allow");
  expect(evaluate(model, flow("8.8.8.8", web)).ingress[0]?.decision.reason.by).toBe("broken");
  const state = compilePolicy(model, { node: "n1" });
  expect(verdictOf(state, flow("8.8.8.8", web)).ingress?.decision.reason.by).toBe("broken");
});

test("while two pods claim one address, what either is denied, is denied; the node's own word ends the doubt", () => {
  const model = cluster(policy("clients", { ingress: [{ action: "allow", source: app("client") }] }));
  model.endpoints.set("shop/late", endpoint("late", "n2", client));
  const compiler = new PolicyCompiler(model, { node: "n1" });
  compiler.update();
  expect(verdictOf(compiler.state, flow(client, web)).verdict).toBe("deny");
  expect(evaluate(model, flow(client, web)).verdict).toBe("deny");
  model.endpoints.delete("shop/late");
  compiler.update({ endpoints: new Set(["shop/late"]) });
  expect(verdictOf(compiler.state, flow(client, web)).verdict).toBe("allow");
  // The web pod's address was another's before, and the other's end is not known yet.
  model.endpoints.set("shop/former", endpoint("client", "n2", web));
  compiler.attach("shop/web", [web]);
  compiler.update({ endpoints: new Set(["shop/former"]) });
  expect(verdictOf(compiler.state, flow(client, web)).verdict).toBe("allow");
  expect(verdictOf(compiler.state, flow("8.8.8.8", web)).verdict).toBe("deny");
});

test("an attached endpoint is denied until it is known, unless the setting says otherwise", () => {
  const model = cluster();
  for (const [unknownEndpoints, verdict] of [
    ["deny", "deny"],
    ["allow", "allow"],
  ] as const) {
    const compiler = new PolicyCompiler(model, { node: "n1", unknownEndpoints });
    compiler.attach("shop/new", [address("10.0.0.9")]);
    compiler.update();
    expect(verdictOf(compiler.state, flow(client, "10.0.0.9")).verdict).toBe(verdict);
    expect(verdictOf(compiler.state, flow("10.0.0.9", client)).verdict).toBe(verdict);
  }
  const compiler = new PolicyCompiler(model, { node: "n1" });
  compiler.attach("shop/new", [address("10.0.0.9")]);
  compiler.update();
  model.endpoints.set("shop/new", endpoint("new", "n1"));
  compiler.update({ endpoints: new Set(["shop/new"]) });
  expect(verdictOf(compiler.state, flow(client, "10.0.0.9")).verdict).toBe("allow");
  compiler.detach("shop/new");
  model.endpoints.delete("shop/new");
  compiler.update({ endpoints: new Set(["shop/new"]) });
  expect(compiler.state.addresses.has(address("10.0.0.9"))).toBe(false);
});

test("a rule that asks for the sender's port allows nothing, denies all that it may mean, and is reported", () => {
  const sourcePorts = [{ first: 1, last: 1023 }];
  const allowing = cluster(policy("low", { ingress: [{ action: "allow", sourcePorts }] }));
  expect(verdictOf(compilePolicy(allowing, { node: "n1" }), flow(client, web)).verdict).toBe("deny");
  const denying = cluster(policy("low", { ingress: [{ action: "deny", sourcePorts }, { action: "allow" }] }));
  const compiler = new PolicyCompiler(denying, { node: "n1" });
  compiler.update();
  expect(verdictOf(compiler.state, flow(client, web)).verdict).toBe("deny");
  expect(compiler.problems.map(({ message }) => message)).toEqual([
    "ingress rule 1 of NetworkPolicy shop/low cannot be enforced exactly: it asks for the sender's port, which is not supported, so it denies all that it may mean",
  ]);
});

test("the own node: its addresses by row, the rest of it by class 1, and only where the policy says so", () => {
  const toNowhere = policy("no-egress", { egress: [], ingress: [] });
  const own = compilePolicy(cluster(toNowhere), { node: "n1" });
  expect(verdictOf(own, flow(web, "192.168.0.1"), "input").verdict).toBe("allow");
  expect(verdictOf(own, flow(web, "172.17.0.1"), "input").verdict).toBe("allow");
  expect(verdictOf(own, flow(web, "172.17.0.1"), "forward").verdict).toBe("deny");
  expect(verdictOf(own, flow(web, "192.168.0.2"), "forward").verdict).toBe("deny");
  expect(verdictOf(own, flow("192.168.0.1", web), "output").verdict).toBe("allow");
  // By its source address alone nobody is the own node.
  expect(verdictOf(own, flow("192.168.0.1", web), "forward").verdict).toBe("deny");
  const guarded = compilePolicy(cluster({ ...toNowhere, allowsOwnNode: false }), { node: "n1" });
  expect(verdictOf(guarded, flow(web, "192.168.0.1"), "input").verdict).toBe("deny");
  expect(verdictOf(guarded, flow(web, "172.17.0.1"), "input").verdict).toBe("deny");
});

test("an address within one peer's network, but not within its exception; another peer may allow it all the same", () => {
  const except = [parsePrefix("10.0.1.0/24")];
  const networks = [parsePrefix("10.0.0.0/8")];
  const excepted = cluster(policy("nets", { ingress: [{ action: "allow", source: { any: [{ networks, except }] } }] }));
  expect(verdictOf(compilePolicy(excepted, { node: "n1" }), flow(client, web)).verdict).toBe("deny");
  expect(verdictOf(compilePolicy(excepted, { node: "n1" }), flow("10.9.9.9", web)).verdict).toBe("allow");
  const both = { any: [{ networks, except }, app("client")] };
  const allowed = cluster(policy("nets", { ingress: [{ action: "allow", source: both }] }));
  expect(verdictOf(compilePolicy(allowed, { node: "n1" }), flow(client, web)).verdict).toBe("allow");
});
