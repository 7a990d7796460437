import { describe, expect, test } from "bun:test";
import { describeError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import type { Policy } from "../../model/policy.ts";
import { rootOf } from "../schema.ts";
import { readApiObject } from "./api-object.ts";
import { Notes } from "./reading.ts";

function read(spec: unknown, origin: "file" | "datastore" = "file"): { policy: Policy; warnings: readonly string[] } {
  const text = JSON.stringify({
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: "guard" },
    spec,
  });
  const notes = new Notes(origin);
  const object = readApiObject("ClusterNetworkPolicy", rootOf(parseJson(text, { source: "f.json" })), notes);
  if (object.kind !== "ClusterNetworkPolicy") throw new Error(object.kind);
  return { policy: object.policy, warnings: notes.warnings.map(({ path, message }) => `${path}: ${message}`) };
}

const base = { tier: "Admin", priority: 10, subject: { namespaces: {} } };
const all = [{ namespaces: {} }];
const web = { matchLabels: { app: "web" } };
const isWeb = { op: "in", key: "app", values: ["web"] } as const;

test("tier, priority and subject", () => {
  expect(read({ ...base }).policy).toEqual({
    id: { kind: "ClusterNetworkPolicy", name: "guard" },
    tier: "kube-admin",
    order: 10,
    subject: {},
    allowsOwnNode: false,
    source: { file: "f.json", line: 1 },
  });
  const { policy } = read({
    tier: "Baseline",
    priority: 0,
    subject: {
      pods: { namespaceSelector: web, podSelector: { matchExpressions: [{ key: "a", operator: "Exists" }] } },
    },
    ingress: [],
  });
  expect(policy).toMatchObject({
    tier: "kube-baseline",
    order: 0,
    subject: { namespaces: isWeb, labels: { op: "has", key: "a" } },
  });
  // "CNPs with no ingress rules do not affect ingress traffic."
  expect(policy.ingress).toBeUndefined();
});

test("actions, names, peers of ingress", () => {
  const { policy } = read({
    ...base,
    ingress: [
      { name: "monitoring", action: "Accept", from: [{ namespaces: web }] },
      { action: "Deny", from: [{ pods: { namespaceSelector: {}, podSelector: web } }, { namespaces: {} }] },
      { action: "Pass", from: all },
    ],
  });
  expect(policy.ingress).toEqual([
    { action: "allow", name: "monitoring", source: { endpoints: { namespaces: isWeb } }, line: 1 },
    { action: "deny", source: { any: [{ endpoints: { labels: isWeb } }, { endpoints: {} }] }, line: 1 },
    { action: "pass", source: { endpoints: {} }, line: 1 },
  ]);
  expect(policy.egress).toBeUndefined();
});

test("peers of egress", () => {
  const { policy } = read({
    ...base,
    egress: [
      { action: "Accept", to: [{ nodes: web }] },
      { action: "Deny", to: [{ networks: ["10.0.0.0/8", "fd00::/8"] }] },
    ],
  });
  expect(policy.egress?.map(({ destination }) => destination) as unknown).toEqual([
    { nodes: isWeb },
    { networks: ["10.0.0.0/8", "fd00::/8"], except: [] },
  ]);
});

test("protocols and ports", () => {
  const protocols = [
    { tcp: { destinationPort: { number: 80 } } },
    { udp: { destinationPort: { range: { start: 53, end: 60 } } } },
    { sctp: { destinationPort: { number: 9 } } },
    { destinationNamedPort: "web" },
  ];
  const { policy } = read({ ...base, ingress: [{ action: "Accept", from: all, protocols }] });
  expect(policy.ingress?.[0]?.traffic as unknown).toEqual([
    { protocol: 6, ports: { first: 80, last: 80 } },
    { protocol: 17, ports: { first: 53, last: 60 } },
    { protocol: 132, ports: { first: 9, last: 9 } },
    { portName: "web" },
  ]);
});

describe("what is not known fails closed: Accept matches nothing, Deny and Pass deny all", () => {
  for (const [what, rule] of [
    ["a peer of another version", { to: [{ clouds: {} }] }],
    ["a peer without any field, as an API server prunes it", { to: [{}] }],
    ["beside a peer that is known", { to: [{ namespaces: {} }, { clouds: {} }] }],
    ["a known peer that another version narrows", { to: [{ namespaces: {}, clouds: {} }] }],
    ["domain names", { to: [{ domainNames: ["example.com"] }] }],
    ["a field of the rule", { to: all, clouds: [] }],
    ["a protocol", { to: all, protocols: [{ icmpish: {} }] }],
    ["a protocol without any field", { to: all, protocols: [{ tcp: {} }] }],
    ["a protocol's field", { to: all, protocols: [{ tcp: { destinationPort: { number: 80 }, flags: 1 } }] }],
    ["a kind of port", { to: all, protocols: [{ tcp: { destinationPort: {} } }] }],
  ] as const) {
    test(what, () => {
      const rules = ["Accept", "Deny", "Pass"].map((action) => ({ action, ...rule }));
      const { policy, warnings } = read({ ...base, egress: rules }, "datastore");
      expect(policy.egress).toEqual([{ action: "allow", traffic: [] }, { action: "deny" }, { action: "deny" }]);
      expect(warnings.length).toBeGreaterThan(0);
    });
  }
});

test("domain names in a file are taken, with a warning", () => {
  const rule = { action: "Accept", to: [{ domainNames: ["*.example.com"] }] };
  expect(read({ ...base, egress: [rule] }).warnings).toEqual([
    "spec.egress[0].to[0].domainNames: domainNames are not supported yet, so the rule accepts nothing",
  ]);
});

describe("what is wrong is named", () => {
  const rule = (more: object) => ({ ...base, egress: [{ action: "Accept", to: all, ...more }] });
  for (const [spec, path, message] of [
    [{ ...base, tier: "admin" }, "spec.tier", "did you mean Admin?"],
    [{ ...base, tier: undefined }, "spec.tier", "tier is missing"],
    [{ ...base, priority: 1001 }, "spec.priority", "use 0 to 1000"],
    [{ ...base, priority: "10" }, "spec.priority", "write 10 without quotes"],
    [{ ...base, priority: 1.5 }, "spec.priority", "is not a whole number"],
    [{ ...base, subject: {} }, "spec.subject", "needs namespaces or pods"],
    [{ ...base, subject: { namespaces: {}, pods: {} } }, "spec.subject.pods", "namespaces stands here already"],
    [{ ...base, subject: { pods: { namespaceSelector: {} } } }, "spec.subject.pods.podSelector", "is missing"],
    [
      { ...base, ingress: Array.from({ length: 26 }, () => ({ action: "Deny", from: all })) },
      "spec.ingress",
      "at most 25",
    ],
    [rule({ action: "Allow" }), "spec.egress[0].action", "known are Accept, Deny, Pass"],
    [rule({ action: undefined }), "spec.egress[0].action", "action is missing"],
    [rule({ to: [] }), "spec.egress[0].to", "to is missing"],
    [rule({ to: [{}] }), "spec.egress[0].to[0]", "a peer needs one of"],
    [rule({ to: [{ networks: [] }] }), "spec.egress[0].to[0].networks", "an empty list"],
    [rule({ to: [{ networks: ["10.0.0.0"] }] }), "spec.egress[0].to[0].networks[0]", "is not a network"],
    [rule({ to: [{ domainNames: ["example"] }] }), "spec.egress[0].to[0].domainNames[0]", "is not a domain name"],
    [
      { ...base, egress: [{ action: "Deny", to: [{ domainNames: ["example.com"] }] }] },
      "spec.egress[0].to[0].domainNames",
      "in rules that accept only",
    ],
    [rule({ name: "x".repeat(101) }), "spec.egress[0].name", "at most 100"],
    [rule({ protocols: [] }), "spec.egress[0].protocols", "an empty list"],
    [rule({ protocols: [{ tcp: {} }] }), "spec.egress[0].protocols[0].tcp", "one is needed here"],
    [rule({ protocols: [{ TCP: {} }] }), "spec.egress[0].protocols[0].TCP", 'did you mean "tcp"?'],
    [
      rule({ protocols: [{ tcp: { destinationPort: { range: { start: 80, end: 80 } } } }] }),
      "spec.egress[0].protocols[0].tcp.destinationPort.range.end",
      "use number for one port",
    ],
    [
      rule({ to: [{ networks: ["10.0.0.0/8"] }], protocols: [{ destinationNamedPort: "web" }] }),
      "spec.egress[0].to[0]",
      "have no named ports",
    ],
  ] as const) {
    test(`${path}: ${message}`, () => {
      let text = "";
      try {
        read(spec);
      } catch (error) {
        text = describeError(error);
      }
      expect(text).toContain(message);
      expect(text).toContain(`: ${path}:`);
    });
  }
});

test("a peer of egress in ingress is not known there, so it fails closed", () => {
  const ingress = [{ action: "Deny", from: [{ nodes: {} }] }];
  expect(read({ ...base, ingress }).policy.ingress).toEqual([{ action: "deny", line: 1 }]);
});
