import { expect, test } from "bun:test";
import { reduceObject, reducePod } from "./reduced-objects.ts";

test("of a pod what policy needs is left; hosts' and completed pods are none", () => {
  const metadata = { namespace: "shop", name: "web", uid: "u1", resourceVersion: "7", labels: { app: "web" } };
  const spec = {
    nodeName: "n1",
    serviceAccountName: "web",
    volumes: [{ name: "v" }],
    containers: [{ name: "c", image: "i", ports: [{ containerPort: 1 }, { name: "http", containerPort: 80 }] }],
    initContainers: [{ name: "once", ports: [{ name: "no", containerPort: 81 }] }],
  };
  const status = { phase: "Running", podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }], conditions: [{}] };
  const reduced = {
    metadata: { namespace: "shop", name: "web", uid: "u1", labels: { app: "web" } },
    spec: {
      nodeName: "n1",
      serviceAccountName: "web",
      containers: [{ name: "c", ports: [{ name: "http", containerPort: 80 }] }],
    },
    status: { phase: "Running", podIPs: [{ ip: "10.0.0.1" }] },
  };
  expect<unknown>(reducePod({ metadata, spec, status })).toEqual(reduced);
  expect(reducePod({ metadata, spec: { ...spec, hostNetwork: true }, status })).toBeUndefined();
  expect(reducePod({ metadata, spec, status: { phase: "Succeeded" } })).toBeUndefined();
});

test("an announced address counts until the kubelet reports one; a static pod has its runtime's uid", () => {
  const annotations = { "cni.projectcalico.org/podIPs": "10.0.0.2/32", "kubernetes.io/config.hash": "abc", more: "x" };
  const metadata = { namespace: "a", name: "b", uid: "mirror", annotations };
  const announced = reducePod({ metadata, status: { phase: "Pending" } })?.metadata;
  expect(announced?.annotations).toEqual({ "cni.projectcalico.org/podIPs": "10.0.0.2/32" });
  expect(announced?.uid).toBe("abc");
  expect(reducePod({ metadata, status: { podIPs: [{ ip: "10.0.0.2" }] } })?.metadata.annotations).toBeUndefined();
});

test("of what people write, all is left that they wrote", () => {
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", "twill.dev/source": "a:1" };
  const managed = { managedFields: [{}], resourceVersion: "9", uid: "u" };
  const object = { metadata: { namespace: "a", name: "b", annotations, ...managed }, spec: { podSelector: {} } };
  expect<unknown>(reduceObject({ ...object, status: { conditions: [] } })).toEqual({
    metadata: { namespace: "a", name: "b", uid: "u", annotations: { "twill.dev/source": "a:1" } },
    spec: { podSelector: {} },
  });
});
