import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { isCode } from "../../src/base/errors.ts";
import { anonymous } from "../../src/store/kubernetes/credentials.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import { mergeWritten } from "./merge-written.ts";
import { type ObjectWriter, objectWriter } from "./object-writer.ts";

interface Kept {
  readonly metadata: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/** As much of an API server as writing needs: objects by path, compare-and-swap, no update for what changes nothing. */
class TinyApiServer {
  readonly objects = new Map<string, Kept>();
  /** Resources that it does not have. */
  readonly unknown = new Set<string>();
  #version = 1;
  readonly #server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.#answer(request) });

  get url(): string {
    return this.#server.url.origin;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    const { method } = request;
    const text = await request.text();
    const sent: Kept | undefined = text === "" ? undefined : JSON.parse(text);
    const known = this.objects.get(path);
    if ([...this.unknown].some((resource) => path.includes(resource))) return refuse(404, "NotFound");
    if (method === "POST") return this.#keep(`${path}/${sent?.metadata.name}`, sent);
    if (known === undefined) return refuse(404, "NotFound", path);
    if (method === "GET") return Response.json(known);
    if (method === "DELETE") {
      this.objects.delete(path);
      return Response.json(known);
    }
    if (sent?.metadata.resourceVersion !== known.metadata.resourceVersion) return refuse(409, "Conflict");
    return Bun.deepEquals(sent, known) ? Response.json(known) : this.#keep(path, sent);
  }

  #keep(path: string, sent: Kept | undefined): Response {
    if (sent === undefined) return refuse(400, "BadRequest");
    const kept = { ...sent, metadata: { ...sent.metadata, uid: "u", resourceVersion: String(this.#version++) } };
    this.objects.set(path, kept);
    return Response.json(kept, { status: 201 });
  }
}

const refuse = (code: number, reason: string, name?: string): Response =>
  Response.json({ kind: "Status", code, reason, message: reason, details: { name } }, { status: code });

describe("through an API server", () => {
  let server: TinyApiServer;
  let store: KubernetesDatastore;
  let writer: ObjectWriter;
  beforeEach(() => {
    server = new TinyApiServer();
    store = new KubernetesDatastore({ server: server.url, insecure: false, credentials: anonymous, source: "test" });
    writer = objectWriter(store);
  });
  afterEach(async () => {
    await store.close();
    await server.stop();
  });

  const policy = (spec: unknown) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "web", namespace: "shop", annotations: { "twill.dev/source": "a.yaml:1" } },
    spec,
  });
  const path = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/web";

  test("made, changed, left alone and deleted; what others wrote beside it stays", async () => {
    expect(await writer.apply("NetworkPolicy", "shop.web", policy({ podSelector: {} }))).toBe("created");
    const made = server.objects.get(path);
    // Others may change it by other means: the line would soon be wrong.
    expect(made?.metadata.annotations).toBeUndefined();
    server.objects.set(path, { ...made, metadata: { ...made?.metadata, annotations: { theirs: "1" } } });
    expect(await writer.apply("NetworkPolicy", "shop.web", policy({ podSelector: {} }))).toBe("unchanged");
    expect(await writer.apply("NetworkPolicy", "shop.web", policy({ podSelector: {}, egress: [] }))).toBe("configured");
    expect(server.objects.get(path)).toMatchObject({
      metadata: { uid: "u", annotations: { theirs: "1" } },
      spec: { egress: [] },
    });
    await writer.delete("NetworkPolicy", "shop.web");
    expect(server.objects.size).toBe(0);
    expect(await writer.delete("NetworkPolicy", "shop.web").catch((error) => isCode(error, "not-found"))).toBe(true);
  });

  test("a cluster without ClusterNetworkPolicy is told from one without this object", async () => {
    const guard = { apiVersion: "x", kind: "y", metadata: { name: "guard" }, spec: {} };
    expect(await writer.apply("ClusterNetworkPolicy", "guard", guard)).toBe("created");
    server.unknown.add("clusternetworkpolicies");
    const error = await writer.apply("ClusterNetworkPolicy", "guard", guard).catch((thrown) => thrown);
    expect(isCode(error, "unsupported") && error.describe()).toContain("install its definition first");
  });

  test("pods are left to others", () => {
    expect(() => writer.check("Pod", "shop.a", policy({}))).toThrow("kubectl's");
    expect(() => writer.check("NetworkPolicy", "shop.a", policy({}))).not.toThrow();
  });
});

describe("what is written over what is there", () => {
  const before = {
    metadata: { name: "a", labels: { old: "1" }, annotations: { theirs: "1", mine: "1" }, uid: "u" },
    spec: { nodeName: "n1", containers: [] },
    status: { phase: "Running" },
    extra: 1,
  };
  const written = {
    metadata: { name: "a", labels: { new: "1" }, annotations: { mine: "2" } },
    spec: { containers: [1] },
  };

  test("of a pod, parts", () => {
    expect(mergeWritten("Pod", before, written)).toEqual({
      metadata: { name: "a", labels: { old: "1", new: "1" }, annotations: { theirs: "1", mine: "2" }, uid: "u" },
      spec: { nodeName: "n1", containers: [1] },
      status: { phase: "Running" },
      extra: 1,
    });
  });

  test("of a policy, the whole", () => {
    expect(mergeWritten("NetworkPolicy", before, written)).toEqual({
      metadata: { name: "a", labels: { new: "1" }, annotations: { theirs: "1", mine: "2" }, uid: "u" },
      spec: { containers: [1] },
      status: { phase: "Running" },
    });
  });
});
