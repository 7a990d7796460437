import { expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { decodeEndpointSlice } from "./endpoint-slice.ts";
import { decodeService, PROXY_NAME, SOURCE_RANGES } from "./service.ts";
import { ServiceBook } from "./service-book.ts";

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const service = (spec: object, rest: { readonly metadata?: object; readonly status?: object } = {}) =>
  decodeService(
    bytes({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "shop", ...rest.metadata },
      spec: { clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"], ports: [{ port: 80, protocol: "TCP" }], ...spec },
      ...(rest.status !== undefined && { status: rest.status }),
    }),
    "shop.web",
  );

test("a Service as kube-apiserver writes it", () => {
  const read = service(
    {
      type: "LoadBalancer",
      clusterIPs: ["10.96.0.10", "FD00::10"],
      externalIPs: ["192.0.2.1"],
      ports: [
        { name: "http", port: 80, targetPort: "web", nodePort: 30_080, protocol: "TCP" },
        { name: "dns", port: 53, protocol: "UDP" },
      ],
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
      externalTrafficPolicy: "Local",
      internalTrafficPolicy: "Cluster",
      loadBalancerSourceRanges: ["198.51.100.0/24"],
      healthCheckNodePort: 31_000,
      allocateLoadBalancerNodePorts: true,
    },
    {
      status: {
        loadBalancer: {
          ingress: [
            { ip: "192.0.2.7", ipMode: "VIP" },
            { ip: "192.0.2.8", ipMode: "Proxy" },
            { hostname: "lb.example" },
          ],
        },
      },
    },
  );
  expect(read as unknown).toEqual({
    namespace: "shop",
    name: "web",
    clusterAddresses: ["10.96.0.10", "fd00::10"],
    externalAddresses: ["192.0.2.1"],
    loadBalancerAddresses: ["192.0.2.7"],
    sourceRanges: ["198.51.100.0/24"],
    ports: [
      { name: "http", protocol: 6, port: 80, nodePort: 30_080 },
      { name: "dns", protocol: 17, port: 53 },
    ],
    affinitySeconds: 100,
    externalPolicy: "local",
    internalPolicy: "cluster",
    healthCheckPort: 31_000,
  });
});

test("what is left out has the API's defaults", () => {
  expect(service({ sessionAffinity: "ClientIP" })).toMatchObject({
    ports: [{ name: "", protocol: 6, port: 80 }],
    affinitySeconds: 10_800,
    externalPolicy: "cluster",
    internalPolicy: "cluster",
  });
  expect(service({ type: "ClusterIP", ports: [{ port: 80, nodePort: 30_000 }] })?.ports).toEqual([
    { name: "", protocol: 6, port: 80 },
  ]);
  const annotated = { metadata: { annotations: { [SOURCE_RANGES]: "10.0.0.0/8, 192.0.2.0/24" } } };
  expect(service({ type: "LoadBalancer" }, annotated)?.sourceRanges as unknown).toEqual(["10.0.0.0/8", "192.0.2.0/24"]);
  expect(service({ type: "NodePort" }, annotated)?.sourceRanges).toBeUndefined();
});

test("there is nothing to translate: headless, a name, no address yet, another proxy's", () => {
  expect(service({ clusterIP: "None", clusterIPs: ["None"] })).toBeUndefined();
  expect(service({ type: "ExternalName", externalName: "example.com", clusterIP: "", clusterIPs: [] })).toBeUndefined();
  expect(service({ clusterIP: "", clusterIPs: undefined })).toBeUndefined();
  expect(service({}, { metadata: { labels: { [PROXY_NAME]: "cloud" } } })).toBeUndefined();
});

const slice = (rest: object = {}) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "web-x1", namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  ports: [{ name: "", port: 8080, protocol: "TCP" }, { name: "any" }],
  endpoints: [
    {
      addresses: ["10.244.1.2", "10.244.1.99"],
      conditions: { ready: false, serving: true, terminating: true },
      nodeName: "n1",
      zone: "east",
      hints: { forZones: [{ name: "east" }], forNodes: [{ name: "n1" }] },
      targetRef: { kind: "Pod", namespace: "shop", name: "web-1" },
    },
    { addresses: ["10.244.1.3"] },
    { addresses: [] },
  ],
  ...rest,
});

test("an EndpointSlice: first addresses, conditions with their defaults, hints", () => {
  expect(decodeEndpointSlice(bytes(slice()), "shop.web-x1") as unknown).toEqual({
    namespace: "shop",
    name: "web-x1",
    service: "web",
    family: 4,
    ports: [{ name: "", protocol: 6, port: 8080 }],
    endpoints: [
      {
        address: "10.244.1.2",
        ready: false,
        serving: true,
        terminating: true,
        node: "n1",
        zone: "east",
        forZones: ["east"],
        forNodes: ["n1"],
        pod: "shop/web-1",
      },
      { address: "10.244.1.3", ready: true, serving: true, terminating: false },
    ],
  });
  expect(decodeEndpointSlice(bytes(slice({ addressType: "FQDN" })), "shop.web-x1")).toBeUndefined();
  const orphan = slice({ metadata: { name: "x", namespace: "shop" } });
  expect(decodeEndpointSlice(bytes(orphan), "shop.x")).toBeUndefined();
});

test("damaged objects are refused as invalid or corrupt, never otherwise", () => {
  const whole = bytes(slice());
  const random = seededRandom(7);
  for (let count = 0; count < 2000; count++) {
    const damaged = whole.slice();
    for (let hits = random.below(3); hits >= 0; hits--) damaged[random.below(damaged.length)] = random.below(256);
    for (const decode of [decodeEndpointSlice, decodeService]) {
      try {
        decode(damaged, "shop.web-x1");
      } catch (error) {
        expect(error).toBeInstanceOf(TwillError);
        expect(["invalid", "corrupt"]).toContain((error as TwillError).code);
      }
    }
  }
});

test("the book tells which Services are other than before, once, and not of what is the same", () => {
  const book = new ServiceBook();
  const web = service({});
  const one = decodeEndpointSlice(bytes(slice()), "shop.web-x1");
  book.putService("shop/web", web);
  book.putSlice("shop/web-x1", one);
  expect(book.takeChange()).toEqual({ services: new Set(["shop/web"]), endpoints: new Set(["shop/web"]) });
  book.putService("shop/web", service({}));
  book.putSlice("shop/web-x1", decodeEndpointSlice(bytes(slice()), "shop.web-x1"));
  expect(book.takeChange()).toBeUndefined();
  expect(book.slicesOf("shop/web").length).toBe(1);
  const moved = slice({
    metadata: { name: "web-x1", namespace: "shop", labels: { "kubernetes.io/service-name": "api" } },
  });
  book.putSlice("shop/web-x1", decodeEndpointSlice(bytes(moved), "shop.web-x1"));
  expect(book.takeChange()?.endpoints).toEqual(new Set(["shop/web", "shop/api"]));
  book.putSlice("shop/web-x1", undefined);
  expect(book.slicesOf("shop/api")).toEqual([]);
});
