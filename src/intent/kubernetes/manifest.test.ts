import { describe, expect, test } from "bun:test";
import { describeError } from "../../base/errors.ts";
import { readManifests, titleOf } from "./manifest.ts";
import { decodePolicy } from "./stored-object.ts";

const read = (text: string, namespace = "default") => readManifests([{ source: "shop.yaml", text }], namespace);

const denyAll = `# deny all, then allow what is known
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: shop
spec:
  podSelector: {}
  policyTypes:
  - Ingress
`;

test("objects of several documents, with where they were written", () => {
  const [deny, web, ns] = read(`${denyAll}---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, resourceVersion: "7", managedFields: []}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {}}]
  -
    ports:
    - port: 80
  vendorThing: 1
status: {}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
`);
  expect([deny, web, ns].map((object) => object && [titleOf(object), object.stored, object.line])).toEqual([
    ["NetworkPolicy shop/default-deny", "shop.default-deny", 2],
    ["NetworkPolicy default/web", "default.web", 12],
    ["Namespace shop", "shop", 25],
  ]);
  expect(web?.value).toEqual({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: {
      name: "web",
      namespace: "default",
      annotations: { "twill.dev/source": "shop.yaml:12; ingress 18 20" },
    },
    spec: {
      podSelector: { matchLabels: { app: "web" } },
      ingress: [{ from: [{ podSelector: {} }] }, { ports: [{ port: 80 }] }],
      vendorThing: 1,
    },
  });
  expect(web?.warnings.map(({ path, line }) => [path, line])).toEqual([["spec.vendorThing", 22]]);
});

test("what is kept reads as what was written", () => {
  for (const object of read(denyAll)) {
    if (!("policy" in object.read)) throw new Error(object.kind);
    const bytes = new TextEncoder().encode(JSON.stringify(object.value));
    expect(decodePolicy("NetworkPolicy", bytes, object.stored).policy).toEqual(object.read.policy);
  }
});

test("a List, as kubectl prints it, and JSON", () => {
  const item = (name: string) => ({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { containers: [] } });
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: [item("a"), item("b")] });
  expect(read(list, "shop").map(({ stored }) => stored)).toEqual(["shop.a", "shop.b"]);
});

describe("what is wrong is named by file, line, field and value, and what would be right", () => {
  for (const [what, text, expected] of [
    [
      "prose behind a value, as samples have it",
      denyAll.replace("- Ingress", "- Ingress by default denied"),
      'read shop.yaml line 10, column 5: spec.policyTypes[0]: the text "Ingress by default denied" is not known (write Ingress alone, and "by default denied" behind a # as a comment; known are Ingress, Egress)\n  - Ingress by default denied\n    ^^^^^^^^^^^^^^^^^^^^^^^^^',
    ],
    [
      "prose behind a field",
      denyAll.replace("policyTypes:", "policyTypes: which directions"),
      "shop.yaml line 10, column 3: an item of a list stands among fields",
    ],
    [
      "prose with a colon",
      denyAll.replace("podSelector: {}", "podSelector: {} this means: all pods"),
      'shop.yaml line 8, column 19: after the end of this value nothing may follow (remove "this means: all pods", or put it behind a #)',
    ],
    [
      "an arrow behind a value, as in tutorials",
      denyAll.replace("name: default-deny", "name: default-deny <- any name"),
      'shop.yaml line 5, column 9: metadata.name: the text "default-deny <- any name" cannot be a name',
    ],
    [
      "dots for what is left out",
      denyAll.replace("  policyTypes:\n", "  ...\n  policyTypes:\n"),
      'shop.yaml line 9, column 3: "..." is no field: it has no colon',
    ],
    [
      "curly quotes",
      denyAll.replace("- Ingress", "- “Ingress”"),
      'spec.policyTypes[0]: the text "“Ingress”" is not known (did you mean Ingress?)',
    ],
    ["a selector without matchLabels", denyAll.replace("{}", "{app: web}"), "spec.podSelector.app: unknown field"],
    ["no kind", "metadata: {name: x}\n", "shop.yaml line 1, column 1: kind: kind is missing"],
    [
      "a kind of another's",
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n",
      'shop.yaml line 2, column 7: kind: the text "Deployment" is not a kind that is kept here (there are NetworkPolicy, ClusterNetworkPolicy, Namespace, Pod)',
    ],
    ["a kind in small letters", denyAll.replace("NetworkPolicy", "networkpolicy"), "(did you mean NetworkPolicy?)"],
    [
      "Calico's policy of the same name",
      denyAll.replace("networking.k8s.io/v1", "projectcalico.org/v3"),
      "Calico's NetworkPolicy is not supported yet",
    ],
    [
      "a former name",
      "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: x}\n",
      "write a ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) with tier: Admin",
    ],
    [
      "an old API",
      denyAll.replace("networking.k8s.io/v1", "extensions/v1beta1"),
      'apiVersion: the text "extensions/v1beta1" is not the API of a NetworkPolicy (write networking.k8s.io/v1)',
    ],
    ["a text", "just some text\n", 'shop.yaml line 1, column 1: the text "just some text" is not an object'],
    [
      "an object twice",
      `${denyAll}---\n${denyAll}`,
      "NetworkPolicy shop/default-deny stands twice, first in shop.yaml line 2",
    ],
    [
      "a namespace where there is none",
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, namespace: y}\n",
      "metadata.namespace: it lies in no namespace",
    ],
    ["indentation by tabs", denyAll.replace("  podSelector", "\tpodSelector"), "shop.yaml line 8, column 1: a tab"],
    ["spec at the side", denyAll.replace(/spec:[\s\S]*/, "podSelector: {}\n"), "spec: spec is missing"],
  ] as const) {
    test(what, () => {
      let said = "";
      try {
        read(text);
      } catch (error) {
        said = describeError(error);
      }
      expect(said).toContain(expected);
    });
  }
});
