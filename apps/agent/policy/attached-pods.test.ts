import { expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import type { StoredPod } from "../../../src/intent/kubernetes/stored-object.ts";
import type { WorkloadEndpoint } from "../../../src/model/policy.ts";
import { AttachedPods } from "./attached-pods.ts";

/** What a watch knows, and what came out of the join. */
function scene() {
  const objects = new Map<string, StoredPod>();
  const endpoints = new Map<string, WorkloadEndpoint>();
  const attached = new Map<string, string>();
  const pods = new AttachedPods("n1", (name) => objects.get(name), {
    putEndpoint: (name, endpoint) => (endpoint === undefined ? endpoints.delete(name) : endpoints.set(name, endpoint)),
    attach: (name, addresses) =>
      addresses === undefined ? attached.delete(name) : attached.set(name, addresses.join()),
  });
  const watch = (name: string, object: StoredPod | undefined) => {
    const before = objects.get(name);
    if (object === undefined) objects.delete(name);
    else objects.set(name, object);
    pods.changed(name, before);
  };
  const add = (id: string, uid: string | undefined, address: string, name = "web-0") =>
    pods.add({
      key: { network: "twill", containerId: id, ifname: "eth0" },
      pod: { podNamespace: "shop", podName: name, ...(uid === undefined ? {} : { podUid: uid }) },
      addresses: [address as Address],
    });
  const remove = (id: string) => pods.remove({ network: "twill", containerId: id, ifname: "eth0" });
  return { endpoints, attached, pods, watch, add, remove };
}

const object = (uid: string, app: string, node = "n1", ...addresses: string[]): StoredPod => ({
  uid,
  endpoint: {
    namespace: "shop",
    pod: "web-0",
    node,
    labels: { app },
    addresses: addresses as Address[],
    ports: [],
  },
});

test("an interface is its pod's by uid: the next pod of the name has its own labels, the one before it none any more", () => {
  const { endpoints, attached, pods, watch, add, remove } = scene();
  watch("shop/web-0", object("u1", "old"));
  add("c1", "u1", "10.0.0.1");
  expect([...attached]).toEqual([["shop/web-0", "10.0.0.1"]]);
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "old" });
  // Deleted by force, and made anew while the old containers still run; the watch is late.
  expect(pods.knows({ podNamespace: "shop", podName: "web-0", podUid: "u2" })).toBe(false);
  pods.fetched("shop/web-0", object("u2", "new"));
  add("c2", "u2", "10.0.0.2");
  const now = { "shop/web-0": "10.0.0.2", "shop/web-0/c1": "10.0.0.1" };
  expect(Object.fromEntries(attached)).toEqual(now);
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "new" });
  expect(endpoints.has("shop/web-0/c1")).toBe(false);
  expect(pods.unknown).toEqual(["shop/web-0"]);
  watch("shop/web-0", undefined);
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "new" });
  watch("shop/web-0", object("u2", "newer"));
  expect(Object.fromEntries(attached)).toEqual(now);
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "newer" });
  remove("c1");
  expect(Object.fromEntries(attached)).toEqual({ "shop/web-0": "10.0.0.2" });
  expect(pods.unknown).toEqual([]);
});

test("a pod that nobody knows is attached without an endpoint until its labels arrive", () => {
  const { endpoints, attached, pods, watch, add } = scene();
  add("c1", "u1", "10.0.0.1");
  expect([[...attached], [...endpoints], pods.unknown]).toEqual([[["shop/web-0", "10.0.0.1"]], [], ["shop/web-0"]]);
  watch("shop/web-0", object("u1", "web"));
  expect([endpoints.get("shop/web-0")?.labels, pods.unknown]).toEqual([{ app: "web" }, []]);
  watch("shop/web-0", undefined);
  expect([[...attached], [...endpoints], pods.unknown]).toEqual([[["shop/web-0", "10.0.0.1"]], [], ["shop/web-0"]]);
});

test("what was asked for holds until the watch knows better, and is forgotten with the pod", () => {
  const { endpoints, pods, watch, add, remove } = scene();
  pods.fetched("shop/web-0", object("u1", "asked"));
  add("c1", "u1", "10.0.0.1");
  watch("shop/web-0", object("u1", "watched"));
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "watched" });
  // An answer that comes after the watch's is the older one.
  pods.fetched("shop/web-0", object("u1", "asked"));
  expect(endpoints.get("shop/web-0")?.labels).toEqual({ app: "watched" });
  watch("shop/web-0", undefined);
  expect(endpoints.size).toBe(0);
  remove("c1");
  expect([pods.attached, pods.unknown]).toEqual([[], []]);
});

test("a pod detached here owns no address any more, whatever its object says; others' pods pass through", () => {
  const { endpoints, attached, watch, add, remove } = scene();
  const reported = object("u1", "web", "n1", "10.0.0.1");
  watch("shop/web-0", reported);
  expect(endpoints.get("shop/web-0")?.addresses).toEqual(["10.0.0.1" as Address]);
  add("c1", "u1", "10.0.0.1");
  remove("c1");
  expect([endpoints.get("shop/web-0")?.addresses, [...attached]]).toEqual([[], []]);
  watch("shop/web-0", { ...reported });
  expect(endpoints.get("shop/web-0")?.addresses).toEqual([]);
  watch("shop/web-0", object("u2", "web", "n2", "10.0.1.1"));
  expect(endpoints.get("shop/web-0")?.addresses).toEqual(["10.0.1.1" as Address]);
});

test("an interface without a pod's name stays unknown; runtimes that name no uid are believed by name", () => {
  const { attached, pods, watch, add } = scene();
  pods.add({ key: { network: "n", containerId: "c", ifname: "eth0" }, pod: {}, addresses: ["10.0.0.9" as Address] });
  expect([[...attached], pods.knows({}), pods.unknown]).toEqual([[["/c", "10.0.0.9"]], false, ["/c"]]);
  pods.remove({ network: "n", containerId: "c", ifname: "eth0" });
  watch("shop/web-0", object("u1", "web"));
  add("c1", undefined, "10.0.0.1");
  expect([[...attached], pods.unknown]).toEqual([[["shop/web-0", "10.0.0.1"]], []]);
});
