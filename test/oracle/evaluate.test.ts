import { expect, test } from "bun:test";
import { evaluate } from "./evaluate.ts";
import { flowBetween } from "./generate-flow.ts";
import type {
  ClusterNetworkPolicyObject,
  ClusterObjects,
  ClusterRule,
  NetworkPolicyObject,
  PodObject,
  PolicyObject,
} from "./objects.ts";

/** The example of the documentation's page on network policies, and what it says about it. */
const example: NetworkPolicyObject = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "test-network-policy", namespace: "default" },
  spec: {
    podSelector: { matchLabels: { role: "db" } },
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      {
        from: [
          { ipBlock: { cidr: "172.17.0.0/16", except: ["172.17.1.0/24"] } },
          { namespaceSelector: { matchLabels: { project: "myproject" } } },
          { podSelector: { matchLabels: { role: "frontend" } } },
        ],
        ports: [{ protocol: "TCP", port: 6379 }],
      },
    ],
    egress: [{ to: [{ ipBlock: { cidr: "10.0.0.0/24" } }], ports: [{ protocol: "TCP", port: 5978 }] }],
  },
};

const pod = (name: string, ip: string, labels: Record<string, string>, node = "n1"): PodObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: name.split("/")[1] ?? "", namespace: name.split("/")[0] ?? "", labels },
  spec: {
    nodeName: node,
    containers: [{ name: "c", ports: [{ name: "redis", containerPort: 6379 }] }],
  },
  status: { phase: "Running", podIP: ip, podIPs: [{ ip }] },
});

const clusterWith = (...policies: PolicyObject[]): ClusterObjects => ({
  namespaces: [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "other", labels: { project: "myproject" } } },
  ],
  nodes: ["n1", "n2"].map((name, index) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { zone: name } },
    spec: { podCIDRs: [`10.1.${index}.0/24`] },
    status: { addresses: [{ type: "InternalIP", address: `192.168.0.${index + 1}` }] },
  })),
  pods: [
    pod("default/db", "10.1.0.2", { role: "db" }),
    pod("default/front", "10.1.0.3", { role: "frontend" }),
    pod("default/rest", "10.1.1.4", {}, "n2"),
    pod("other/any", "10.1.1.5", {}, "n2"),
  ],
  policies,
});

const admin = (priority: number, part: Partial<ClusterNetworkPolicyObject["spec"]>): ClusterNetworkPolicyObject => ({
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name: `p${priority}` },
  spec: { tier: "Admin", priority, subject: { namespaces: {} }, ...part },
});

const ask = (cluster: ClusterObjects, from: string, to: string, port = 6379, protocol: "TCP" | "UDP" = "TCP") =>
  evaluate(cluster, flowBetween(cluster, from, to, protocol, port)).verdict;

test("without policies everything is allowed", () => {
  const cluster = clusterWith();
  const judgement = evaluate(cluster, flowBetween(cluster, "10.1.0.2", "10.1.1.5", "TCP", 1));
  expect(judgement).toEqual({
    verdict: "allow",
    egress: { verdict: "allow", by: [{ by: "no-policy" }] },
    ingress: { verdict: "allow", by: [{ by: "no-policy" }] },
  });
});

test("the documentation's example does what the documentation says", () => {
  const cluster = clusterWith(example);
  const into = (from: string, port?: number) => ask(cluster, from, "10.1.0.2", port);
  expect(into("10.1.0.3")).toBe("allow");
  expect(into("10.1.1.5")).toBe("allow");
  expect(into("10.1.1.4")).toBe("deny");
  expect(into("10.1.0.3", 6380)).toBe("deny");
  expect(ask(cluster, "10.1.0.3", "10.1.0.2", 6379, "UDP")).toBe("deny");
  const edges = {
    "172.17.0.0": "allow",
    "172.17.0.255": "allow",
    "172.17.1.0": "deny",
    "172.17.1.255": "deny",
  } as const;
  for (const [from, verdict] of Object.entries(edges)) expect([from, into(from)]).toEqual([from, verdict]);
  expect([into("172.17.2.0"), into("172.17.255.255"), into("172.18.0.0")]).toEqual(["allow", "allow", "deny"]);
  expect(ask(cluster, "10.1.0.2", "10.0.0.9", 5978)).toBe("allow");
  expect(ask(cluster, "10.1.0.2", "10.0.1.0", 5978)).toBe("deny");
  // Its own node and itself; not another node.
  expect([into("192.168.0.1"), into("10.1.0.0"), into("10.1.0.2"), into("192.168.0.2")]).toEqual([
    "allow",
    "allow",
    "allow",
    "deny",
  ]);
  expect(ask(cluster, "10.1.0.2", "192.168.0.1", 22)).toBe("allow");
});

test("policy types follow from rules where they are not said", () => {
  const base = { ...example, spec: { podSelector: {}, ingress: [{}] } };
  const egress = (spec: NetworkPolicyObject["spec"]) => ask(clusterWith({ ...base, spec }), "10.1.0.2", "10.1.1.5");
  expect(egress({ ...base.spec })).toBe("allow");
  expect(egress({ ...base.spec, egress: [] })).toBe("allow");
  expect(egress({ ...base.spec, egress: [], policyTypes: ["Egress"] })).toBe("deny");
  expect(egress({ ...base.spec, egress: [{ ports: [{ port: 1 }] }] })).toBe("deny");
  expect(egress({ ...base.spec, egress: [{ ports: [{ port: "redis" }] }] })).toBe("allow");
});

test("tiers: Admin before NetworkPolicy before Baseline; Pass goes to the next", () => {
  const rule = (action: ClusterRule["action"]): ClusterRule => ({ action, from: [{ namespaces: {} }] });
  const into = (...policies: PolicyObject[]) => ask(clusterWith(...policies), "10.1.1.4", "10.1.0.2");
  const baseline = admin(1, { tier: "Baseline", ingress: [rule("Deny")] });
  expect(into(admin(5, { ingress: [rule("Accept")] }), example)).toBe("allow");
  expect(into(admin(5, { ingress: [rule("Accept")] }), admin(4, { ingress: [rule("Deny")] }))).toBe("deny");
  expect(into(admin(5, { ingress: [rule("Deny")] }), admin(4, { ingress: [rule("Pass")] }))).toBe("allow");
  expect(into(admin(4, { ingress: [rule("Pass")] }), example)).toBe("deny");
  expect(into(baseline)).toBe("deny");
  expect(ask(clusterWith(baseline, example), "10.1.0.3", "10.1.0.2")).toBe("allow");
  expect(into(admin(5, { ingress: [] }))).toBe("allow");
});

test("a peer that is not understood fails closed", () => {
  const into = (action: ClusterRule["action"]) =>
    ask(
      clusterWith(
        admin(1, {
          ingress: [
            { action, from: [{}, { namespaces: {} }] },
            { action: "Accept", from: [{ namespaces: {} }] },
          ],
        }),
      ),
      "10.1.1.4",
      "10.1.0.2",
    );
  expect([into("Accept"), into("Deny"), into("Pass")]).toEqual(["allow", "deny", "deny"]);
});

test("nodes and networks are peers of egress", () => {
  const out = (rule: ClusterRule, to: string) => ask(clusterWith(admin(1, { egress: [rule] })), "10.1.0.2", to);
  const nodes: ClusterRule = { action: "Deny", to: [{ nodes: { matchLabels: { zone: "n2" } } }] };
  expect([out(nodes, "192.168.0.2"), out(nodes, "10.1.1.0"), out(nodes, "192.168.0.1")]).toEqual([
    "deny",
    "deny",
    "allow",
  ]);
  const networks: ClusterRule = { action: "Deny", to: [{ networks: ["10.1.1.4/31", "192.168.0.1/32"] }] };
  expect([out(networks, "10.1.1.5"), out(networks, "192.168.0.1"), out(networks, "10.1.1.6")]).toEqual([
    "deny",
    "deny",
    "allow",
  ]);
});

test("pods on their host's network are their node; pods that are over are nobody", () => {
  const cluster = clusterWith(example);
  const change = (name: string, part: object): ClusterObjects => ({
    ...cluster,
    pods: cluster.pods.map((one) => (one.metadata.name === name ? { ...one, ...part } : one)),
  });
  expect(ask(change("front", { status: { phase: "Failed", podIP: "10.1.0.3" } }), "10.1.0.3", "10.1.0.2")).toBe("deny");
  const hosted = {
    spec: { nodeName: "n2", hostNetwork: true, containers: [] },
    status: { phase: "Running", podIP: "192.168.0.2" },
  };
  expect(ask(change("front", hosted), "192.168.0.2", "10.1.0.2")).toBe("deny");
  const own = { spec: { ...hosted.spec, nodeName: "n1" }, status: { phase: "Running", podIP: "192.168.0.1" } };
  expect(ask(change("front", own), "192.168.0.1", "10.1.0.2")).toBe("allow");
});
