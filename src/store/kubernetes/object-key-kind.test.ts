import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "../../base/errors.ts";
import type { Revision, WatchEvent } from "../datastore.ts";
import { openDatastore } from "../open.ts";
import { anonymous } from "./credentials.ts";
import { KubernetesDatastore } from "./datastore.ts";
import { FakeApiServer } from "./fake-api-server.fixture.ts";
import type { ConfigMap } from "./object.ts";
import { inConfigMapKey } from "./object-key-kind.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const where = { namespace: "kube-flannel", name: "kube-flannel-cfg", key: "net-conf.json" };

let server: FakeApiServer;
let store: KubernetesDatastore;
beforeEach(async () => {
  server = await FakeApiServer.start();
  const access = { server: server.url, insecure: false, credentials: anonymous, source: "the test" };
  store = new KubernetesDatastore(access, { kinds: { config: inConfigMapKey("network", where) } });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

/** As kubectl apply does it. */
async function apply(data: Record<string, string>): Promise<void> {
  const path = `${server.url}/api/v1/namespaces/${where.namespace}/configmaps`;
  const body = JSON.stringify({
    metadata: { name: where.name, namespace: where.namespace, labels: { app: "flannel" } },
    data,
  });
  const created = await fetch(path, { method: "POST", body });
  if (!created.ok) await fetch(`${path}/${where.name}`, { method: "PUT", body });
}

async function read(): Promise<ConfigMap> {
  const answer = await fetch(`${server.url}/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg`);
  return (await answer.json()) as ConfigMap;
}
const code = (expected: Parameters<typeof isCode>[1]) => (error: unknown) => {
  expect(isCode(error, expected)).toBe(true);
};

test("what people wrote there is the object, and what we write leaves the rest as it was", async () => {
  await apply({ "cni-conf.json": "{}", "net-conf.json": '{"Network":"10.244.0.0/16"}' });
  const found = await store.get("config", "network");
  expect(new TextDecoder().decode(found?.value)).toBe('{"Network":"10.244.0.0/16"}');
  expect((await store.list("config")).objects).toEqual(found === undefined ? [] : [found]);

  await store.create("config", "network", bytes("{}")).catch(code("exists"));
  const updated = await store.update("config", "network", bytes("{}"), found?.revision ?? ("" as Revision));
  await store.update("config", "network", bytes("x"), found?.revision ?? ("" as Revision)).catch(code("conflict"));
  expect(await read()).toMatchObject({
    metadata: { labels: { app: "flannel" } },
    data: { "cni-conf.json": "{}", "net-conf.json": "{}" },
  });
  await store.delete("config", "network", found?.revision).catch(code("conflict"));
  await store.delete("config", "network", updated.revision);
  await store.delete("config", "network").catch(code("not-found"));
  expect((await read()).data).toEqual({ "cni-conf.json": "{}" });
  await store.create("config", "network", bytes("again"));
  expect((await read()).data).toEqual({ "cni-conf.json": "{}", "net-conf.json": "again" });
  expect.assertions(9);
});

test("it is made where there is none; no other object fits in", async () => {
  await store.create("config", "network", bytes("new"));
  expect((await read()).data).toEqual({ "net-conf.json": "new" });
  expect(await store.get("config", "other")).toBeUndefined();
  await store.create("config", "other", bytes("x")).catch(code("invalid"));
  await store.update("config", "network", Uint8Array.of(0xff), "1" as Revision).catch(code("invalid"));
  expect.assertions(4);
});

test("by URL: config=NAMESPACE/CONFIGMAP", async () => {
  const directory = mkdtempSync("/tmp/twill-store-");
  server.writeKubeconfig(join(directory, "kubeconfig"));
  await apply({ "net-conf.json": "text" });
  const opened = await openDatastore(`kubernetes:${directory}/kubeconfig?config=kube-flannel/kube-flannel-cfg`);
  expect((await opened.list("config")).objects.map((object) => object.name)).toEqual(["network"]);
  await opened.close();
  rmSync(directory, { recursive: true });
});

test("a watch tells what people change", async () => {
  const { revision } = await store.list("config");
  const seen: string[] = [];
  const describe = (event: WatchEvent) =>
    event.type === "put" ? `put ${new TextDecoder().decode(event.object.value)}` : event.type;
  const watching = (async () => {
    for await (const event of store.watch("config", revision)) if (seen.push(describe(event)) === 3) return;
  })();
  await apply({ "net-conf.json": "one" });
  await apply({ "cni-conf.json": "{}" });
  await apply({ "net-conf.json": "two" });
  await watching;
  expect(seen).toEqual(["put one", "delete", "put two"]);
});
