import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import {
  type EndpointMatch,
  kubernetesTiers,
  type Labels,
  type Policy,
  type PolicyModel,
  type PolicyRule,
  policyName,
  protocols,
} from "../../model/policy.ts";
import { cutsDns } from "./cuts-dns.ts";
import { type LintFinding, plainLint } from "./lint.ts";
import { shadowedRules } from "./shadowed.ts";

const label = (key: string, value: string) => ({ op: "in", key, values: [value] }) as const;
const pods = (app: string): EndpointMatch => ({ namespace: "shop", labels: label("app", app) });
const tcp = (port: number) => [{ protocol: protocols.tcp, ports: { first: port, last: port } }];
const from = (app: string, more: Partial<PolicyRule> = {}): PolicyRule => ({
  action: "allow",
  source: { endpoints: pods(app) },
  ...more,
});

const named = (name: string, more: Partial<Policy> = {}): Policy => ({
  id: { kind: "NetworkPolicy", namespace: "shop", name },
  tier: "default",
  order: 1000,
  subject: { namespace: "shop" },
  allowsOwnNode: true,
  ...more,
});
const cluster = (name: string, order: number, more: Partial<Policy> = {}): Policy => ({
  ...named(name),
  id: { kind: "ClusterNetworkPolicy", name },
  tier: "kube-admin",
  order,
  subject: {},
  allowsOwnNode: false,
  ...more,
});

function model(...policies: readonly Policy[]): PolicyModel {
  const pod = (name: string, labels: Labels, last: number) =>
    [
      `shop/${name}`,
      {
        namespace: "shop",
        pod: name,
        labels,
        node: "n1",
        addresses: [parseAddress(`10.1.1.${last}`)],
        ports: [{ name: "http", protocol: protocols.tcp, port: 80 }],
      },
    ] as const;
  return {
    namespaces: new Map([["shop", { name: "shop", labels: {} }]]),
    endpoints: new Map([
      pod("web", { app: "web" }, 2),
      pod("db", { app: "db" }, 3),
      pod("dns", { "k8s-app": "kube-dns" }, 4),
    ]),
    nodes: new Map([["n1", { name: "n1", labels: {}, addresses: [parseAddress("192.168.1.1")] }]]),
    tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
    policies: new Map(policies.map((policy) => [policyName(policy.id), policy])),
  };
}

const lint = (...policies: readonly Policy[]): readonly LintFinding[] => {
  const of = model(...policies);
  return [...plainLint(of), ...shadowedRules(of), ...cutsDns(of)];
};
const said = (findings: readonly LintFinding[]) =>
  findings.map(
    ({ severity, check, place, message, remedy }) =>
      `${severity} ${check} ${place.policy}${place.rule === undefined ? "" : ` rule ${place.rule}`}: ${message} (${remedy})`,
  );

test("good policies are left in peace", () => {
  const good = named("web", { subject: pods("web"), ingress: [from("db", { traffic: [{ portName: "http" }] })] });
  expect(lint(good, named("deny-all", { ingress: [] }), cluster("guard", 1, { egress: [] }))).toEqual([]);
});

test("selectors and names of ports that nobody has", () => {
  const wrong = named("p", { subject: pods("wbe"), ingress: [from("bd")] });
  const port = named("q", { subject: pods("web"), ingress: [from("db", { traffic: [{ portName: "https" }] })] });
  expect(said(lint(wrong, port))).toEqual([
    "warning selects-nobody NetworkPolicy shop/p: it selects no pod: there are none of pods with app=wbe in namespace shop (no pod there matches app=wbe; there app is db, web)",
    "warning matches-nobody NetworkPolicy shop/p rule 1: there is nobody: pods with app=bd in namespace shop (no pod there matches app=bd; there app is db, web)",
    "warning unknown-port-name NetworkPolicy shop/q rule 1: no pod that it selects has a port called https, so the rule never matches (name the port in the pods (containers.ports.name), or write its number)",
  ]);
});

test("a policy that cannot be understood, one that stands twice, two of one priority", () => {
  const twice = { subject: pods("web"), ingress: [from("db", { line: 3 })] };
  const findings = lint(
    named("a", { broken: "what is this?", ingress: [] }),
    named("b", twice),
    named("c", { ...twice, ingress: [from("db", { line: 9 })] }),
    cluster("first", 5, { egress: [{ action: "deny", traffic: tcp(25) }] }),
    cluster("second", 5, { egress: [{ action: "allow", traffic: tcp(25) }] }),
  );
  expect(said(findings.filter(({ check }) => !["shadowed", "cuts-dns"].includes(check)))).toEqual([
    "error broken NetworkPolicy shop/a: it cannot be understood, and denies what it selects: what is this? (correct it, or delete it)",
    "note duplicate NetworkPolicy shop/c: it says the same as NetworkPolicy shop/b (delete one of the two)",
    "warning tie ClusterNetworkPolicy second: it has the same priority as ClusterNetworkPolicy first, selects some of the same pods, and decides otherwise (give them different priorities: the API leaves open which of them counts)",
  ]);
});

test("rules behind others that say all of it, or its opposite", () => {
  const denied = cluster("guard", 1, {
    ingress: [
      { action: "deny", traffic: [{ protocol: protocols.tcp }] },
      { action: "allow", traffic: tcp(80) },
    ],
  });
  expect(said(lint(denied))).toEqual([
    "warning shadowed ClusterNetworkPolicy guard rule 2: it never counts: ClusterNetworkPolicy guard rule 1 decides before (put it before, by a lower priority or a higher place in the policy)",
  ]);
  const part = named("web", { subject: pods("web"), ingress: [from("db"), from("db", { traffic: tcp(80) })] });
  expect(said(lint(part))).toEqual([
    "note shadowed NetworkPolicy shop/web rule 2: all that it says, NetworkPolicy shop/web rule 1 says already (it can be left away)",
  ]);
  const all = [
    named("a", { ingress: [{ action: "allow" }] }),
    named("b", { subject: pods("web"), ingress: [from("db")] }),
  ];
  expect(said(lint(...all))).toEqual([
    "warning allows-all NetworkPolicy shop/b rule 1: it restricts nothing: NetworkPolicy shop/a rule 1 lets everybody pass (delete the rule that allows all, or this one)",
  ]);
});

test("DNS cut off by a policy that denies all egress", () => {
  const deny = named("deny", { egress: [] });
  expect(said(lint(deny))).toEqual([
    "warning cuts-dns NetworkPolicy shop/deny: every pod cannot ask DNS: no rule lets UDP 53 out to k8s-app=kube-dns (allow egress to these pods on UDP and TCP 53, or to nobody by name)",
  ]);
  const dns: PolicyRule = {
    action: "allow",
    destination: { endpoints: { labels: label("k8s-app", "kube-dns") } },
    traffic: [{ protocol: protocols.udp, ports: { first: 53, last: 53 } }],
  };
  expect(lint(deny, named("dns", { egress: [dns] }))).toEqual([]);
});
