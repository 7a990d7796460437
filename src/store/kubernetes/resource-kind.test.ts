import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../base/clock.ts";
import { openDatastore } from "../open.ts";
import type { KubernetesObject } from "./object.ts";
import { NETWORK_POLICIES, PODS } from "./resource.ts";
import { inResource } from "./resource-kind.ts";

const listPath = "apis/networking.k8s.io/v1/networkpolicies";

/** An API server that has pods in two namespaces and knows no policies at first. */
class PodServer {
  readonly asked: string[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), "twill-resource-"));
  pods: object[] = [];
  knowsPolicies = false;
  #watcher: ReadableStreamDefaultController<string> | undefined;
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    fetch: (request) => this.#answer(new URL(request.url)),
  });

  tell(type: string, object: object): void {
    this.#watcher?.enqueue(`${JSON.stringify({ type, object })}\n`);
  }
  get isWatched(): boolean {
    return this.#watcher !== undefined;
  }
  kubeconfig(): string {
    const path = join(this.folder, "kubeconfig");
    const clusters = [{ name: "c", cluster: { server: `http://127.0.0.1:${this.#server.port}` } }];
    const contexts = [{ name: "c", context: { cluster: "c" } }];
    writeFileSync(path, JSON.stringify({ clusters, contexts, "current-context": "c" }));
    return path;
  }
  async stop(): Promise<void> {
    await this.#server.stop(true);
    rmSync(this.folder, { recursive: true });
  }

  #answer({ pathname, searchParams }: URL): Response {
    this.asked.push(`${pathname} ${searchParams.get("fieldSelector") ?? ""}`.trim());
    const found = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/(.+)$/.exec(pathname);
    if (found !== null) {
      const pod = this.pods.find(
        (each) =>
          (each as KubernetesObject).metadata.namespace === found[1] &&
          (each as KubernetesObject).metadata.name === found[2],
      );
      return pod === undefined ? refusal(404, found[2]) : Response.json(pod);
    }
    if (this.knowsPolicies && pathname === `/${listPath}`)
      return Response.json({ metadata: { resourceVersion: "10" }, items: [] });
    if (pathname !== "/api/v1/pods") return refusal(404);
    if (searchParams.has("sendInitialEvents")) return refusal(422);
    if (!searchParams.has("watch")) return Response.json({ metadata: { resourceVersion: "10" }, items: this.pods });
    return new Response(
      new ReadableStream<string>({
        start: (controller) => {
          this.#watcher = controller;
        },
      }).pipeThrough(new TextEncoderStream()),
    );
  }
}

const refusal = (status: number, name?: string) =>
  Response.json({ kind: "Status", code: status, reason: "NotFound", message: "no", details: { name } }, { status });
const pod = (namespace: string, name: string, phase: string, more: object = {}) => ({
  metadata: { namespace, name, uid: `uid-${name}`, resourceVersion: "11", labels: { app: name } },
  spec: { nodeName: "n1" },
  status: { phase, ...more },
});
interface PodObject extends KubernetesObject {
  readonly status?: { readonly phase?: string };
}
const kinds = {
  pods: inResource(PODS, {
    namespaced: true,
    selection: { fieldSelector: "spec.hostNetwork=false" },
    reduce: ({ metadata: { namespace = "", name, labels = {} }, status }: PodObject) =>
      status?.phase === "Failed" ? undefined : { metadata: { namespace, name, labels } },
  }),
  policies: inResource(NETWORK_POLICIES, { namespaced: true, optional: true, reduce: (object) => object }),
  needed: inResource(NETWORK_POLICIES, { namespaced: true, reduce: (object) => object }),
};

let server: PodServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

test("objects come reduced, by namespace and name; what is reduced away is absent, also when it becomes so", async () => {
  server = new PodServer();
  server.pods = [pod("shop", "web.1", "Running"), pod("shop", "done", "Failed"), pod("a", "web.1", "Running")];
  const store = await openDatastore(`kubernetes:${server.kubeconfig()}`, { kinds });
  const { objects, revision } = await store.list("pods");
  expect(objects.map(({ name }) => name)).toEqual(["a.web.1", "shop.web.1"]);
  const read = (value: Uint8Array | undefined) => JSON.parse(new TextDecoder().decode(value));
  expect(read(objects[1]?.value)).toEqual({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "shop", name: "web.1", labels: { app: "web.1" } },
  });
  expect(read((await store.get("pods", "shop.web.1"))?.value).metadata.name).toBe("web.1");
  expect(await store.get("pods", "shop.nobody")).toBeUndefined();
  expect(server.asked).toContain("/api/v1/pods spec.hostNetwork=false");

  const over = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch("pods", revision, { signal: over.signal })) {
      if (event.type === "put") seen.push(`put ${event.object.name}`);
      if (event.type === "delete") seen.push(`delete ${event.name}`);
      if (seen.length === 3) return;
    }
  })();
  while (!server.isWatched) await Bun.sleep(5);
  server.tell("MODIFIED", pod("shop", "web.1", "Running", { podIP: "10.0.0.1" }));
  server.tell("MODIFIED", pod("shop", "web.1", "Failed"));
  server.tell("DELETED", pod("a", "web.1", "Running"));
  await watching;
  over.abort();
  expect(seen).toEqual(["put shop.web.1", "delete shop.web.1", "delete a.web.1"]);
  await expect(store.create("pods", "a.b", new Uint8Array([1]))).rejects.toThrow("only read");
  await store.close();
});

test("a resource that the cluster may lack is looked for now and then; another one that is missing is an error", async () => {
  server = new PodServer();
  const clock = new FakeClock();
  const store = await openDatastore(`kubernetes:${server.kubeconfig()}`, { kinds, clock });
  const { objects, revision } = await store.list("policies");
  expect(objects).toEqual([]);
  await expect(store.list("needed")).rejects.toMatchObject({ code: "unsupported" });
  const events: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch("policies", revision)) events.push(event.type);
  })();
  for (const knows of [false, true]) {
    expect(events).toEqual([]);
    const asked = server.asked.length;
    server.knowsPolicies = knows;
    // By little steps: a request that is under way gives up when the clock leaps.
    for (let waited = 0; server.asked.length === asked; waited += 5_000) {
      expect(waited).toBeLessThanOrEqual(300_000);
      await clock.advance(5_000);
      await Bun.sleep(5);
    }
  }
  await watching;
  expect(events).toEqual(["relist"]);
  await store.close();
});
