import { parseAddress } from "../../src/base/address.ts";
import { readManifests } from "../../src/intent/kubernetes/manifest.ts";
import { bareNode } from "../../src/intent/kubernetes/node.ts";
import { kubernetesTiers, type PolicyModel } from "../../src/model/policy.ts";
import { changedModel } from "./changed-model.ts";

/** A small cluster as people write it: a shop with a web server of two pods and a cart, and a database that lets the web server in. */
const scene = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: db}
---
apiVersion: v1
kind: Pod
metadata: {name: web-7d9f8c6b5-aaaaa, namespace: shop, labels: {app: web, pod-template-hash: 7d9f8c6b5}}
spec: {nodeName: node1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-7d9f8c6b5-bbbbb, namespace: shop, labels: {app: web, pod-template-hash: 7d9f8c6b5}}
spec: {nodeName: node2, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.244.2.5, podIPs: [{ip: 10.244.2.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-0, namespace: shop, labels: {app: cart}}
spec: {nodeName: node2, containers: [{name: c, image: x}]}
status: {podIP: 10.244.2.6, podIPs: [{ip: 10.244.2.6}]}
---
apiVersion: v1
kind: Pod
metadata: {name: postgres-0, namespace: db, labels: {app: postgres}}
spec: {nodeName: node2, containers: [{name: c, image: x, ports: [{name: sql, containerPort: 5432}]}]}
status: {podIP: 10.244.2.7, podIPs: [{ip: 10.244.2.7}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: db}
spec:
  podSelector: {}
  policyTypes: [Ingress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-web, namespace: db}
spec:
  podSelector: {matchLabels: {app: postgres}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
      podSelector: {matchLabels: {app: web}}
    ports: [{port: sql}]
  - from:
    - ipBlock: {cidr: 192.168.0.0/16, except: [192.168.5.0/24]}
    ports: [{port: 5432}]
`;

const nothing: PolicyModel = {
  namespaces: new Map(),
  endpoints: new Map(),
  nodes: new Map(["node1", "node2"].map((name, at) => [name, bareNode(name, [parseAddress(`172.16.0.${at + 1}`)])])),
  tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
  policies: new Map(),
};

export const sceneModel = (): PolicyModel => withFile(nothing, scene, "scene.yaml");

export const withFile = (model: PolicyModel, text: string, source = "change.yaml"): PolicyModel =>
  changedModel(model, readManifests([{ source, text }], "default"), [], "default");
