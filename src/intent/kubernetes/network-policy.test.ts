import { describe, expect, test } from "bun:test";
import { parseJson } from "../../base/json.ts";
import type { Policy } from "../../model/policy.ts";
import { rootOf } from "../schema.ts";
import { readMetadata } from "./metadata.ts";
import { readNetworkPolicy } from "./network-policy.ts";
import { inside, Notes } from "./reading.ts";

function read(spec: unknown, origin: "file" | "datastore" = "file"): { policy: Policy; warnings: readonly string[] } {
  const whole = rootOf(
    parseJson(JSON.stringify({ metadata: { name: "web", namespace: "shop" }, spec }), { source: "f.json" }),
  );
  const notes = new Notes(origin);
  const member = whole.node.kind === "object" ? whole.node.members[1] : undefined;
  const metadata = readMetadata(whole, notes, {});
  const policy = readNetworkPolicy(whole, member && inside(whole, "spec", member.value), metadata, notes);
  return { policy, warnings: notes.warnings.map(({ path, message }) => `${path}: ${message}`) };
}

const rules = (spec: object) => read({ podSelector: {}, ...spec }).policy;

test("what it selects", () => {
  expect(rules({}).subject).toEqual({ namespace: "shop" });
  expect(read({ podSelector: { matchLabels: { app: "web" } } }).policy.subject).toEqual({
    namespace: "shop",
    labels: { op: "in", key: "app", values: ["web"] },
  });
});

describe("directions", () => {
  const allow = [{ action: "allow", line: 1 }];
  for (const [what, spec, ingress, egress] of [
    ["nothing written: ingress", {}, [], undefined],
    ["ingress rules", { ingress: [{}] }, allow, undefined],
    ["egress rules: both", { egress: [{}] }, [], allow],
    ["an empty list of egress rules", { egress: [] }, [], undefined],
    ["an empty list of types is none", { policyTypes: [], egress: [{}] }, [], allow],
    ["types as written", { policyTypes: ["Egress"] }, undefined, []],
    ["rules of a direction that is not named", { policyTypes: ["Egress"], ingress: [{}] }, undefined, []],
    ["both", { policyTypes: ["Ingress", "Egress"] }, [], []],
    ["null is absent", { policyTypes: null, ingress: null, egress: null }, [], undefined],
  ] as const) {
    test(what, () => {
      const policy = rules(spec);
      expect(policy.ingress as unknown).toEqual(ingress);
      expect(policy.egress as unknown).toEqual(egress);
    });
  }
});

describe("peers", () => {
  const peer = (...from: unknown[]) => rules({ ingress: [{ from }] }).ingress?.[0]?.source;
  const web = { matchLabels: { app: "web" } };
  const isWeb = { op: "in", key: "app", values: ["web"] } as const;

  test("pods of the namespace, of other namespaces, both together", () => {
    expect(peer({ podSelector: web })).toEqual({ endpoints: { namespace: "shop", labels: isWeb } });
    expect(peer({ podSelector: {} })).toEqual({ endpoints: { namespace: "shop" } });
    expect(peer({ namespaceSelector: web })).toEqual({ endpoints: { namespaces: isWeb } });
    expect(peer({ namespaceSelector: {} })).toEqual({ endpoints: {} });
    expect(peer({ namespaceSelector: web, podSelector: web })).toEqual({
      endpoints: { namespaces: isWeb, labels: isWeb },
    });
  });

  test("networks, with exceptions", () => {
    expect(peer({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }) as unknown).toEqual({
      networks: ["10.0.0.0/8"],
      except: ["10.1.0.0/16"],
    });
  });

  test("several are any of them; an empty list is everyone", () => {
    expect(peer({ podSelector: {} }, { namespaceSelector: {} })).toEqual({
      any: [{ endpoints: { namespace: "shop" } }, { endpoints: {} }],
    });
    expect(peer()).toBeUndefined();
    expect(rules({ ingress: [{ from: null }] }).ingress?.[0]?.source).toBeUndefined();
  });

  test("of egress they are destinations", () => {
    expect(rules({ egress: [{ to: [{ podSelector: {} }] }] }).egress?.[0]).toEqual({
      action: "allow",
      destination: { endpoints: { namespace: "shop" } },
      line: 1,
    });
  });

  test("one with a field of another version is nobody, never everybody", () => {
    const { policy, warnings } = read(
      { podSelector: {}, ingress: [{ from: [{ podSelector: {}, vendorThing: {} }] }, { vendorThing: 1 }] },
      "datastore",
    );
    expect(policy.ingress).toEqual([
      { action: "allow", source: { any: [] } },
      { action: "allow", traffic: [] },
    ]);
    expect(warnings).toEqual([
      'spec.ingress[0].from[0].vendorThing: the field "vendorThing" is not known to this version',
      'spec.ingress[1].vendorThing: the field "vendorThing" is not known to this version',
    ]);
  });
});

describe("ports", () => {
  const traffic = (...ports: unknown[]) => rules({ ingress: [{ ports }] }).ingress?.[0]?.traffic;
  for (const [what, port, match] of [
    ["TCP by default", { port: 80 }, { protocol: 6, ports: { first: 80, last: 80 } }],
    ["a range", { port: 80, endPort: 90, protocol: "UDP" }, { protocol: 17, ports: { first: 80, last: 90 } }],
    ["a range of one", { port: 80, endPort: 80 }, { protocol: 6, ports: { first: 80, last: 80 } }],
    ["a name", { port: "http" }, { protocol: 6, portName: "http" }],
    ["all of a protocol", { protocol: "SCTP" }, { protocol: 132 }],
    ["all of TCP", {}, { protocol: 6 }],
  ] as const) {
    test(what, () => expect(traffic(port) as unknown).toEqual([match]));
  }
  test("none is every protocol", () => expect(traffic()).toBeUndefined());
});

describe("selectors", () => {
  const selects = (podSelector: unknown) => read({ podSelector }).policy.subject.labels;
  test("all operators", () => {
    expect(
      selects({
        matchLabels: { b: "2", a: "1" },
        matchExpressions: [
          { key: "c", operator: "In", values: ["y", "x", "x"] },
          { key: "d", operator: "NotIn", values: [""] },
          { key: "e", operator: "Exists" },
          { key: "f", operator: "DoesNotExist", values: [] },
        ],
      }),
    ).toEqual({
      op: "and",
      of: [
        { op: "in", key: "a", values: ["1"] },
        { op: "in", key: "b", values: ["2"] },
        { op: "in", key: "c", values: ["x", "y"] },
        { op: "not-in", key: "d", values: [""] },
        { op: "has", key: "e" },
        { op: "not", of: { op: "has", key: "f" } },
      ],
    });
  });
  test("an empty one is all", () => expect(selects({ matchLabels: {}, matchExpressions: [] })).toBeUndefined());
});

describe("what is wrong is named", () => {
  for (const [spec, path, message] of [
    [undefined, "spec", "spec is missing"],
    [{}, "spec.podSelector", "podSelector is missing"],
    [{ podSelector: [] }, "spec.podSelector", "a list is not an object"],
    [{ podSelector: {}, policyTypes: "Ingress" }, "spec.policyTypes", 'the text "Ingress" is not a list'],
    [
      { podSelector: {}, policyTypes: ["Ingress by default denied"] },
      "spec.policyTypes[0]",
      'write Ingress alone, and "by default denied" behind a # as a comment',
    ],
    [{ podSelector: {}, policyTypes: ["ingress"] }, "spec.policyTypes[0]", "did you mean Ingress?"],
    [{ podSelector: {}, ingres: [] }, "spec.ingres", 'did you mean "ingress"?'],
    [{ podSelector: {}, policyType: ["Egress"] }, "spec.policyType", 'did you mean "policyTypes"?'],
    [{ podSelector: {}, ingress: {} }, "spec.ingress", "an object is not a list"],
    [{ podSelector: {}, ingress: [null] }, "spec.ingress[0]", "an item without a value"],
    [{ podSelector: {}, ingress: [{ to: [] }] }, "spec.ingress[0]", "a rule of ingress has from, not to"],
    [{ podSelector: {}, ingress: [{ port: [] }] }, "spec.ingress[0].port", 'did you mean "ports"?'],
    [{ podSelector: {}, ingress: [{ from: [{}] }] }, "spec.ingress[0].from[0]", "a peer needs"],
    [{ podSelector: {}, ingress: [{ from: [{ podSelector: null }] }] }, "spec.ingress[0].from[0]", "a peer needs"],
    [
      { podSelector: {}, ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: "::/0" } }] }] },
      "spec.ingress[0].from[0].ipBlock",
      "ipBlock stands alone",
    ],
    [{ podSelector: {}, ingress: [{ from: [{ ipBlock: {} }] }] }, "spec.ingress[0].from[0].ipBlock.cidr", "missing"],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0" } }] }] },
      "spec.ingress[0].from[0].ipBlock.cidr",
      "add one, e.g. 10.0.0.0/16",
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8 the office" } }] }] },
      "spec.ingress[0].from[0].ipBlock.cidr",
      "write 10.0.0.0/8 alone",
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] } }] }] },
      "spec.ingress[0].from[0].ipBlock.except[0]",
      "11.0.0.0/8 is not a part of 10.0.0.0/8",
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.0.0.0/8"] } }] }] },
      "spec.ingress[0].from[0].ipBlock.except[0]",
      "10.0.0.0/8 is not a part of 10.0.0.0/8",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: "80" }] }] },
      "spec.ingress[0].ports[0].port",
      "write 80 without quotes",
    ],
    [{ podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] }, "spec.ingress[0].ports[0].port", "use 1 to 65535"],
    [{ podSelector: {}, ingress: [{ ports: [{ port: "HTTP" }] }] }, "spec.ingress[0].ports[0].port", "is not a port"],
    [
      { podSelector: {}, ingress: [{ ports: [{ protocol: "tcp" }] }] },
      "spec.ingress[0].ports[0].protocol",
      "did you mean TCP?",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ protocol: "ICMP" }] }] },
      "spec.ingress[0].ports[0].protocol",
      "known are TCP, UDP, SCTP",
    ],
    [{ podSelector: {}, ingress: [{ ports: [{ endPort: 9 }] }] }, "spec.ingress[0].ports[0].endPort", "needs a port"],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: "a", endPort: 9 }] }] },
      "spec.ingress[0].ports[0].endPort",
      "needs a port",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: 10, endPort: 9 }] }] },
      "spec.ingress[0].ports[0].endPort",
      "before its port 10",
    ],
    [{ podSelector: { matchLabels: { app: 1 } } }, "spec.podSelector.matchLabels.app", 'write "1" in quotes'],
    [{ podSelector: { matchLabels: { "a b": "1" } } }, "spec.podSelector.matchLabels.a b", "cannot be a label"],
    [{ podSelector: { matchLabels: { a: "-x" } } }, "spec.podSelector.matchLabels.a", "cannot be a label's value"],
    [{ podSelector: { app: "web" } }, "spec.podSelector.app", "labels stand under matchLabels"],
    [
      { podSelector: { matchExpressions: [{ key: "a", operator: "in", values: ["b"] }] } },
      "spec.podSelector.matchExpressions[0].operator",
      "did you mean In?",
    ],
    [
      { podSelector: { matchExpressions: [{ key: "a", operator: "In" }] } },
      "spec.podSelector.matchExpressions[0].values",
      "at least one",
    ],
    [
      { podSelector: { matchExpressions: [{ key: "a", operator: "Exists", values: ["b"] }] } },
      "spec.podSelector.matchExpressions[0].values",
      "takes no values",
    ],
  ] as const) {
    test(`${path}: ${message}`, () => {
      let error: unknown;
      try {
        read(spec);
      } catch (thrown) {
        error = thrown;
      }
      const text = error instanceof Error && "describe" in error ? (error as { describe(): string }).describe() : "";
      expect(text).toContain(message);
      expect(text).toContain(`column`);
      expect(text).toContain(`: ${path}:`);
    });
  }
});

test("what is most likely not meant is warned of", () => {
  expect(rules({ egress: [] }).egress).toBeUndefined();
  expect(read({ podSelector: {}, egress: [] }).warnings[0]).toContain("leaves egress open");
  expect(read({ podSelector: {}, policyTypes: ["Egress"], ingress: [{}] }).warnings[0]).toContain("count for nothing");
  expect(read({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.1.2.3/8" } }] }] }).warnings[0]).toContain(
    "names one address in a network",
  );
});
