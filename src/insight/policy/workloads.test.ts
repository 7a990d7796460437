import { expect, test } from "bun:test";
import type { PolicyModel, WorkloadEndpoint } from "../../model/policy.ts";
import { stemOf, workloadsOf } from "./workloads.ts";

test("what pods of one owner are called together", () => {
  expect(stemOf(["web-7d9f8c6b5-aaaaa", "web-7d9f8c6b5-bbbbb"])).toBe("web");
  expect(stemOf(["web-7d9f8c6b5-aaaaa", "web-6c4e7d9f8-ccccc"])).toBe("web");
  expect(stemOf(["db-0", "db-1", "db-10"])).toBe("db");
  expect(stemOf(["node-exporter-abcde", "node-exporter-fghij"])).toBe("node-exporter");
  expect(stemOf(["web"])).toBe("web");
  expect(stemOf(["web", "web-1"])).toBe("web");
  expect(stemOf(["red", "blue"])).toBe("");
});

test("pods with the same lasting labels are one workload; those without labels are each their own", () => {
  const pod = (namespace: string, name: string, labels: Record<string, string>): [string, WorkloadEndpoint] => [
    `${namespace}/${name}`,
    { namespace, pod: name, labels, addresses: [], ports: [] },
  ];
  const model = {
    endpoints: new Map([
      pod("a", "web-1", { app: "web", "pod-template-hash": "1" }),
      pod("a", "web-2", { app: "web", "pod-template-hash": "2" }),
      pod("b", "web-1", { app: "web" }),
      pod("a", "red", { tier: "x" }),
      pod("a", "blue", { tier: "x" }),
      pod("a", "alone", {}),
      pod("a", "lonely", {}),
    ]),
  } as unknown as PolicyModel;
  expect(workloadsOf(model).map(({ namespace, name, members }) => `${namespace}/${name}: ${members.length}`)).toEqual([
    "a/web: 2",
    "b/web-1: 1",
    "a/tier=x: 2",
    "a/alone: 1",
    "a/lonely: 1",
  ]);
});
