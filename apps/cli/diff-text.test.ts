import { expect, test } from "bun:test";
import { cutFlows } from "../../src/insight/policy/cut-flows.ts";
import { diffPolicies } from "../../src/insight/policy/diff.ts";
import { reportDiff } from "../../src/insight/policy/diff-report.ts";
import type { Flow } from "../../src/model/flow.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import { changedModel } from "./changed-model.ts";
import { diffText } from "./diff-text.ts";
import { sceneModel, withFile } from "./policy-scene.fixture.ts";
import { paint } from "./status-text.ts";

function shown(before: PolicyModel, after: PolicyModel, flows?: readonly Flow[]): string {
  const cut = flows && cutFlows(before, after, flows);
  return `\n${diffText(reportDiff(diffPolicies(before, after), before), cut, 100_000, paint(false))}`;
}

const isolate = (namespace: string, spec: string): string => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: new, namespace: ${namespace}}
spec: ${spec}
`;

test("a namespace that is cut off from all but itself", () => {
  const file = isolate("shop", "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}");
  expect(shown(sceneModel(), withFile(sceneModel(), file))).toBe(`
1 thing closes, nothing opens
no flows are known to compare with

closes:
  - anyone but pods in namespace shop → every pod in namespace shop: everything
`);
});

test("a port that opens for one more, and what is taken away", () => {
  const file = isolate(
    "db",
    "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: cart}}}], ports: [{port: 5432}, {port: 8000, endPort: 8010, protocol: UDP}]}]}",
  );
  expect(shown(sceneModel(), withFile(sceneModel(), file))).toBe(`
nothing closes, 1 thing opens
no flows are known to compare with

opens:
  + shop/cart-0 → every pod in namespace db: TCP 5432; UDP 8000-8010
`);
  const gone = changedModel(sceneModel(), [], ["networkpolicy/db/allow-web"], "default");
  expect(shown(sceneModel(), gone)).toContain(
    "  - shop/web (2 pods), 192.168.0.0/16 but 192.168.5.0/24 → every pod in namespace db: TCP 5432\n",
  );
});

test("a label that a pod would lose", () => {
  const file = `
apiVersion: v1
kind: Pod
metadata: {name: web-7d9f8c6b5-aaaaa, namespace: shop, labels: {app: old}}
spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
`;
  expect(shown(sceneModel(), withFile(sceneModel(), file))).toContain(
    "closes:\n  - shop/web-7d9f8c6b5-aaaaa → every pod in namespace db: TCP 5432\n",
  );
});

test("nothing, and connections that were seen", () => {
  expect(shown(sceneModel(), withFile(sceneModel(), ""))).toBe("\nnothing opens and nothing closes\n");
  const model = sceneModel();
  const end = (name: string) => {
    const pod = model.endpoints.get(name);
    const [address] = pod?.addresses ?? [];
    if (pod === undefined || address === undefined) throw new Error(`no ${name}`);
    return { kind: "pod", namespace: pod.namespace, name: pod.pod, labels: pod.labels, address } as const;
  };
  const [source, destination] = [end("shop/web-7d9f8c6b5-aaaaa"), end("db/postgres-0")];
  const flow = { sequence: 1, since: 0, until: 40_000, protocol: 6, source, destination } as const;
  const flows: readonly Flow[] = [
    { ...flow, verdict: "allow", port: 5432, count: 7 },
    { ...flow, verdict: "deny", port: 22, count: 1 },
    { ...flow, verdict: "allow", port: 5432, count: 3, source: { ...source, name: "gone" } },
  ];
  const gone = changedModel(model, [], ["netpol/db/allow-web"], "default");
  const text = shown(model, gone, flows);
  expect(text).toContain("7 of 7 connections seen would have been cut\n");
  expect(text).toContain(
    "would have been cut:\n  shop/web-7d9f8c6b5-aaaaa → db/postgres-0 TCP 5432: 7×, last 60s ago\n",
  );
});

test("what is not there cannot be deleted", () => {
  expect(() => changedModel(sceneModel(), [], ["netpol/db/other"], "default")).toThrow("there is no netpol/db/other");
});
