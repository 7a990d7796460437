import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { parseStrictPrefix } from "../../src/base/prefix.ts";
import { decodeLease, encodeLease } from "../../src/intent/flannel/lease.ts";
import { nodeLeases } from "../../src/intent/flannel/node-annotations.ts";
import type { WatchEvent } from "../../src/store/datastore.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import { readKubeconfig } from "../../src/store/kubernetes/kubeconfig.ts";
import { inNodes, type NodeCodec } from "../../src/store/kubernetes/node-kind.ts";
import type { Node } from "../../src/store/kubernetes/object.ts";
import { NODES } from "../../src/store/kubernetes/resource.ts";
import { admin, type Manifest } from "./control-plane.fixture.ts";

setDefaultTimeout(60_000);

let cluster: Awaited<ReturnType<typeof admin>>;
let store: KubernetesDatastore;
beforeAll(async () => {
  cluster = await admin();
  store = new KubernetesDatastore(readKubeconfig(cluster.kubeconfig, systemClock), {
    kinds: { nodes: inNodes(codec) },
  });
});

const ANNOTATION = "twill.dev/test";
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);
const codec: NodeCodec = {
  read: ({ metadata }) => {
    const value = metadata.annotations?.[ANNOTATION];
    return value === undefined ? undefined : bytes(value);
  },
  annotations: (value) => ({ [ANNOTATION]: value === undefined ? null : text(value) }),
};

const register = (name: string) =>
  cluster.api.create<Manifest>(NODES, { name }, { apiVersion: "v1", kind: "Node", metadata: { name } });
/** What a kubelet does all the time. */
const report = (name: string, heartbeat: number) =>
  cluster.api.patch(
    NODES,
    { name, subresource: "status" },
    { status: { conditions: [{ type: "Ready", status: "True", reason: `report-${heartbeat}` }] } },
    "strategic",
  );

async function code(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no error",
    (error: unknown) => (error instanceof TwillError ? error.code : String(error)),
  );
}

test("an object is an annotation of the Node of its name, which is left alone otherwise", async () => {
  expect(await code(store.create("nodes", "one", bytes("a")))).toBe("unavailable");
  await register("one");
  expect(await store.get("nodes", "one")).toBeUndefined();
  expect(await code(store.delete("nodes", "one"))).toBe("not-found");
  const created = await store.create("nodes", "one", bytes("a"));
  expect(await store.get("nodes", "one")).toEqual(created);
  expect(await code(store.create("nodes", "one", bytes("b")))).toBe("exists");

  // The kubelet's reports are no reason for a conflict, another write of the same value is.
  await report("one", 1);
  const updated = await store.update("nodes", "one", bytes("b"), created.revision);
  expect(await code(store.update("nodes", "one", bytes("c"), created.revision))).toBe("conflict");
  const same = await store.update("nodes", "one", bytes("b"), updated.revision);
  expect(same.revision).not.toBe(updated.revision);
  expect(await code(store.delete("nodes", "one", updated.revision))).toBe("conflict");
  await store.delete("nodes", "one", same.revision);
  expect(await store.get("nodes", "one")).toBeUndefined();
  expect((await cluster.api.get(NODES, { name: "one" })).metadata.annotations?.[ANNOTATION]).toBeUndefined();
});

test("writes win over a kubelet that reports many times a second", async () => {
  await register("busy");
  let { revision } = await store.create("nodes", "busy", bytes("0"));
  let over = false;
  const reporting = (async () => {
    for (let heartbeat = 0; !over; heartbeat++) {
      await report("busy", heartbeat);
      await Bun.sleep(5);
    }
  })();
  for (let round = 1; round <= 30; round++) {
    revision = (await store.update("nodes", "busy", bytes(String(round)), revision)).revision;
  }
  over = true;
  await reporting;
  expect(text((await store.get("nodes", "busy"))?.value)).toBe("30");
});

test("a watch tells our changes and not the kubelet's, and a Node that goes", async () => {
  await register("two");
  const { revision } = await store.create("nodes", "two", bytes("a"));
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch("nodes", revision)) {
      // Nodes of other tests are watched as well.
      if (!brief(event).includes(" two")) continue;
      seen.push(brief(event));
      if (event.type === "delete") return;
    }
  })();
  for (let heartbeat = 0; heartbeat < 5; heartbeat++) await report("two", heartbeat);
  const next = await store.update("nodes", "two", bytes("b"), revision);
  for (let heartbeat = 5; heartbeat < 10; heartbeat++) await report("two", heartbeat);
  await store.update("nodes", "two", bytes("c"), next.revision);
  await cluster.api.delete(NODES, { name: "two" });
  await watching;
  // The first report tells the value that the watcher may not know; what knows it ignores it.
  expect(seen).toEqual(["put two a", "put two b", "put two c", "delete two"]);
});

test("with Flannel's annotations: what flanneld wrote is a lease, and a lease is what flanneld reads", async () => {
  const access = readKubeconfig(cluster.kubeconfig, systemClock);
  const leases = new KubernetesDatastore(access, { kinds: { nodes: inNodes(nodeLeases) } });
  const node = (name: string, podCIDR: string, annotations = {}) =>
    cluster.api.create<Manifest>(
      NODES,
      { name },
      { apiVersion: "v1", kind: "Node", metadata: { name, annotations }, spec: { podCIDR, podCIDRs: [podCIDR] } },
    );
  await node("flanneld", "10.244.8.0/24", {
    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
    "flannel.alpha.coreos.com/backend-type": "host-gw",
    "flannel.alpha.coreos.com/backend-data": "null",
    "flannel.alpha.coreos.com/public-ip": "10.9.0.18",
  });
  await node("twill", "10.244.9.0/24");
  const theirs = await leases.get("nodes", "flanneld");
  const lease = decodeLease(theirs?.value ?? bytes(""));
  expect(lease).toMatchObject({ node: "flanneld", subnets: ["10.244.8.0/24"], addresses: ["10.9.0.18"] });
  const ours = { ...lease, node: "twill", id: "m", subnets: [parseStrictPrefix("10.244.9.0/24")] };
  const created = await leases.create("nodes", "twill", encodeLease(ours));
  expect(decodeLease(created.value)).toEqual(ours);
  const names = (await leases.list("nodes")).objects.map((object) => object.name);
  // Nodes of other test files may be there, too.
  expect(names.filter((name) => ["flanneld", "one", "twill", "two"].includes(name))).toEqual(["flanneld", "twill"]);
  const stored = await cluster.api.get<Node>(NODES, { name: "twill" });
  expect(stored.metadata.annotations).toMatchObject({ "flannel.alpha.coreos.com/public-ip": "10.9.0.18" });
  expect(stored.spec?.podCIDR).toBe("10.244.9.0/24");
  await leases.close();
});

const brief = (event: WatchEvent): string =>
  event.type === "put"
    ? `put ${event.object.name} ${text(event.object.value)}`
    : event.type === "delete"
      ? `delete ${event.name}`
      : event.type;
