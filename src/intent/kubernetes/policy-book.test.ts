import { describe, expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import { UnreadablePolicy } from "./broken-policy.ts";
import { PolicyBook } from "./policy-book.ts";
import { decodeNamespace, decodePolicy } from "./stored-object.ts";

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const policy = (spec: unknown, more: object = {}) =>
  bytes({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "web", namespace: "shop", ...more },
    spec,
  });
const clusterPolicy = (spec: unknown) => bytes({ metadata: { name: "guard" }, spec });

/** As a Reflector would tell the book. */
function tell(
  book: PolicyBook,
  kind: "NetworkPolicy" | "ClusterNetworkPolicy",
  stored: string,
  value: Uint8Array,
): void {
  try {
    book.putPolicy(decodePolicy(kind, value, stored));
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    book.noteUnreadable(kind, stored, error);
  }
}

const name = "NetworkPolicy shop/web";
const good = { podSelector: {}, ingress: [{}] };
const bad = { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Egress"], ingress: [{ from: "all" }] };

test("an empty book has the tiers", () => {
  const book = new PolicyBook();
  expect(book.takeChange()?.tiers).toEqual(new Set(["kube-admin", "default", "kube-baseline"]));
  expect(book.takeChange()).toBeUndefined();
});

test("changes are told once, and only what is other than before", () => {
  const book = new PolicyBook();
  book.takeChange();
  const shop = decodeNamespace(bytes({ metadata: { name: "shop", labels: { team: "a" } } }), "shop");
  expect(shop.labels).toEqual({ team: "a", "kubernetes.io/metadata.name": "shop" });
  book.putNamespace(shop);
  book.putNamespace({ ...shop });
  const endpoint = { namespace: "shop", pod: "a", labels: {}, addresses: [], ports: [] };
  book.putEndpoint("shop/a", endpoint);
  book.putNode({ name: "n1", labels: {}, addresses: [] });
  tell(book, "NetworkPolicy", "shop.web", policy(good));
  expect(book.takeChange()).toEqual({
    namespaces: new Set(["shop"]),
    endpoints: new Set(["shop/a"]),
    nodes: new Set(["n1"]),
    tiers: new Set(),
    policies: new Set([name]),
  });
  book.putNamespace({ ...shop });
  book.putEndpoint("shop/a", { ...endpoint });
  book.putNode({ name: "n1", labels: {}, addresses: [] });
  tell(book, "NetworkPolicy", "shop.web", policy(good));
  book.putEndpoint("shop/none", undefined);
  expect(book.takeChange()).toBeUndefined();
  book.putEndpoint("shop/a", undefined);
  book.deleteNode("n1");
  book.deleteNamespace("shop");
  book.deletePolicy("NetworkPolicy", "shop.web");
  expect(book.takeChange()?.policies).toEqual(new Set([name]));
  expect([...book.model.policies, ...book.model.endpoints, ...book.model.nodes, ...book.model.namespaces]).toEqual([]);
});

describe("a policy with an error", () => {
  test("keeps its last good version, and a problem says so", () => {
    const book = new PolicyBook();
    tell(book, "NetworkPolicy", "shop.web", policy(good));
    const before = book.model.policies.get(name);
    book.takeChange();
    tell(book, "NetworkPolicy", "shop.web", policy(bad));
    expect(book.model.policies.get(name)).toBe(before);
    expect(book.takeChange()).toBeUndefined();
    expect(book.problems()).toEqual([
      {
        severity: "error",
        subject: name,
        message: 'spec.ingress[0].from: the text "all" is not a list; its last good version stays in force',
        remedy: "write each item on a line of its own, beginning with -",
        reason: "PolicyInvalid",
      },
    ]);
    book.noteUnreadable("NetworkPolicy", "shop.web", undefined);
    expect(book.problems()).toEqual([]);
    expect(book.model.policies.get(name)).toBe(before);
  });

  test("without one, denies what it selects, in its directions, until it is good or gone", () => {
    const book = new PolicyBook();
    tell(book, "NetworkPolicy", "shop.web", policy(bad));
    expect(book.model.policies.get(name)).toMatchObject({
      subject: { namespace: "shop", labels: { op: "in", key: "app", values: ["web"] } },
      egress: [],
      broken: 'spec.ingress[0].from: the text "all" is not a list',
    });
    expect(book.model.policies.get(name)?.ingress).toBeUndefined();
    expect(book.problems()[0]?.message).toContain("what it selects is denied");
    tell(book, "NetworkPolicy", "shop.web", policy(good));
    expect(book.model.policies.get(name)?.broken).toBeUndefined();
    expect(book.problems()).toEqual([]);
    tell(book, "NetworkPolicy", "shop.web", policy(bad));
    book.deletePolicy("NetworkPolicy", "shop.web");
    expect(book.model.policies.size).toBe(0);
    expect(book.problems()).toEqual([]);
  });

  test("under a name without a namespace selects nobody, and is told of", () => {
    const book = new PolicyBook();
    tell(book, "NetworkPolicy", "web", policy(good));
    expect(book.model.policies.get("NetworkPolicy /web")?.subject).toEqual({ namespace: "" });
    expect(book.problems()[0]?.message).toContain('"web" is not NAMESPACE.NAME');
    book.noteUnreadable("NetworkPolicy", "web", undefined);
    expect(book.model.policies.size).toBe(0);
  });

  test("that was never good and is gone leaves nothing", () => {
    const book = new PolicyBook();
    tell(book, "NetworkPolicy", "shop.web", policy(bad));
    book.noteUnreadable("NetworkPolicy", "shop.web", undefined);
    expect(book.model.policies.size).toBe(0);
  });

  for (const [what, value, subject, ingress, egress] of [
    [
      "its selector cannot be read: the namespace",
      policy({ podSelector: { x: 1 } }),
      { namespace: "shop" },
      true,
      false,
    ],
    ["no spec", policy(undefined), { namespace: "shop" }, true, true],
    ["no JSON", bytes("{"), { namespace: "shop" }, true, true],
    ["types that cannot be read", policy({ podSelector: {}, policyTypes: ["Out"] }), { namespace: "shop" }, true, true],
    ["a misspelt field", policy({ podSelector: {}, egres: [{}] }), { namespace: "shop" }, true, true],
    ["another's name", policy(good, { name: "other" }), { namespace: "shop" }, true, false],
    ["egress rules", policy({ podSelector: {}, egress: [{ to: 1 }] }), { namespace: "shop" }, true, true],
  ] as const) {
    test(what, () => {
      const book = new PolicyBook();
      tell(book, "NetworkPolicy", "shop.web", value);
      const broken = book.model.policies.get(name);
      expect(broken?.subject as unknown).toEqual(subject);
      expect([broken?.ingress !== undefined, broken?.egress !== undefined]).toEqual([ingress, egress]);
      expect(broken?.broken).toBeString();
      expect(broken?.allowsOwnNode).toBe(true);
    });
  }

  for (const [what, spec, expected] of [
    [
      "nothing can be read: everything, first of all",
      1,
      { tier: "kube-admin", order: 0, subject: {}, ingress: [], egress: [] },
    ],
    [
      "what can be read is kept",
      {
        tier: "Baseline",
        priority: 7,
        subject: { namespaces: {} },
        egress: [{ action: "Allow", to: [{ namespaces: {} }] }],
      },
      { tier: "kube-baseline", order: 7, subject: {}, egress: [] },
    ],
    [
      "a subject of another version",
      {
        tier: "Admin",
        priority: 1,
        subject: { serviceAccounts: {} },
        ingress: [{ action: "Deny", from: [{ namespaces: {} }] }],
      },
      { tier: "kube-admin", order: 1, subject: {}, ingress: [] },
    ],
  ] as const) {
    test(`for the cluster, ${what}`, () => {
      const book = new PolicyBook();
      tell(book, "ClusterNetworkPolicy", "guard", clusterPolicy(spec));
      const { id, broken, allowsOwnNode, ...rest } = book.model.policies.get("ClusterNetworkPolicy guard") ?? {};
      expect(id as unknown).toEqual({ kind: "ClusterNetworkPolicy", name: "guard" });
      expect(broken).toBeString();
      expect(allowsOwnNode).toBe(false);
      expect(rest as unknown).toEqual(expected);
    });
  }
});

test("warnings are problems, too", () => {
  const book = new PolicyBook();
  tell(book, "NetworkPolicy", "shop.web", policy({ podSelector: {}, egress: [] }));
  expect(book.problems()).toEqual([
    {
      severity: "warning",
      subject: name,
      message: "spec.egress: an empty list of egress rules without policyTypes leaves egress open",
      remedy: "add policyTypes: [Egress], with Ingress if that is meant, to deny all egress",
      reason: "PolicyDoubtful",
    },
  ]);
});

test("where a policy was written is told by its annotation", () => {
  const annotations = { "twill.dev/source": "shop.yaml:14; ingress 18 22" };
  const read = decodePolicy(
    "NetworkPolicy",
    policy({ podSelector: {}, ingress: [{}, {}] }, { annotations }),
    "shop.web",
  );
  expect(read.policy.source).toEqual({ file: "shop.yaml", line: 14 });
  expect(read.policy.ingress?.map(({ line }) => line)).toEqual([18, 22]);
});

describe("pods", () => {
  const pod = (spec: unknown, status: unknown = {}, metadata: object = {}) =>
    new PolicyBook().decodePod(
      bytes({ metadata: { name: "a.b", namespace: "shop", ...metadata }, spec, status }),
      "shop.a.b",
    );

  test("what is known of one", () => {
    const port = (name: string | undefined, containerPort: number, protocol?: string) => ({
      name,
      containerPort,
      protocol,
    });
    const spec = {
      nodeName: "n1",
      serviceAccountName: "cashier",
      containers: [
        { name: "x", image: "i", ports: [port("web", 8080), port(undefined, 9), port("dns", 53, "UDP")] },
        { name: "y", ports: [port("web", 8080)] },
      ],
      initContainers: [
        { name: "z", restartPolicy: "Always", ports: [port("side", 7)] },
        { name: "once", ports: [port("once", 6)] },
      ],
    };
    const status = { phase: "Running", podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::0:1" }] };
    expect(pod(spec, status, { labels: { b: "2", a: "1" }, uid: "u" })).toEqual({
      uid: "u",
      endpoint: {
        namespace: "shop",
        pod: "a.b",
        node: "n1",
        labels: { a: "1", b: "2" },
        serviceAccount: "cashier",
        addresses: ["10.0.0.1", "fd00::1"] as never,
        ports: [
          { name: "dns", protocol: 17, port: 53 },
          { name: "side", protocol: 6, port: 7 },
          { name: "web", protocol: 6, port: 8080 },
        ],
      },
    });
  });

  test("its node's annotation is what is known until the kubelet reports", () => {
    const annotations = { "cni.projectcalico.org/podIPs": "10.0.0.7/32,fd00::7/128" };
    expect(pod({}, {}, { annotations }).endpoint?.addresses as unknown).toEqual(["10.0.0.7", "fd00::7"]);
    const status = { podIPs: [{ ip: "10.0.0.8" }] };
    expect(pod({}, status, { annotations }).endpoint?.addresses as unknown).toEqual(["10.0.0.8"]);
  });

  test("on the host's network or completed it is no endpoint; on its way out it is one", () => {
    expect(pod({ hostNetwork: true }).endpoint).toBeUndefined();
    expect(pod({}, { phase: "Succeeded" }).endpoint).toBeUndefined();
    expect(pod({}, { phase: "Failed" }).endpoint).toBeUndefined();
    expect(pod({}, { phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" }).endpoint).toBeDefined();
  });

  test("what many have alike is kept once", () => {
    const book = new PolicyBook();
    const decode = (name: string) =>
      book.decodePod(bytes({ metadata: { name, namespace: "shop", labels: { app: "web" } } }), `shop.${name}`).endpoint;
    expect(decode("a")?.labels).toBe(decode("b")?.labels ?? {});
  });

  test("what cannot be one is refused", () => {
    expect(() => pod({ hostNetwork: "yes" })).toThrow("is not true or false");
    expect(() => pod({}, {}, { labels: { a: 1 } })).toThrow("is not a text");
    expect(() => pod({}, {}, { name: "c" })).toThrow("it calls itself shop/c");
  });
});

test("the error of an unreadable policy says what and where", () => {
  let error: unknown;
  try {
    decodePolicy("NetworkPolicy", policy(bad), "shop.web");
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(UnreadablePolicy);
});
