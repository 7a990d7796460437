import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ConfigMap } from "./object.ts";

/**
 * What is done instead of, or besides, answering. "reset": the connection breaks before anything is done.
 * "lose": the request is carried out, then the connection breaks. A status: refused with it.
 */
export type Fault =
  | "reset"
  | "lose"
  | "hang"
  | { readonly status: number; readonly body?: string; readonly retryAfter?: number };

interface Change {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ConfigMap;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly wanted: (object: ConfigMap) => boolean;
}

/** As much of a kube-apiserver as the datastore uses, over plain HTTP, with faults on demand: ConfigMaps in memory. */
export class FakeApiServer {
  /** Every request asks it first. */
  fault: (method: string, url: URL, headers: IncomingMessage["headers"]) => Fault | undefined = () => undefined;
  /** Lists by watch (sendInitialEvents) are done. */
  streamsLists = true;
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #objects = new Map<string, ConfigMap>();
  readonly #watchers = new Set<Watcher>();
  #history: Change[] = [];
  #version = 100;
  #oldest = 1;
  #port = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8");
      request.on("data", (chunk: string) => {
        body += chunk;
      });
      request.on("end", () => this.#answer(request, response, body));
    });
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.listen();
    return fake;
  }

  /** Again on the port that it had. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get version(): string {
    return String(this.#version);
  }

  writeKubeconfig(path: string): void {
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "fake", cluster: { server: this.url } }],
      contexts: [{ name: "fake", context: { cluster: "fake" } }],
      "current-context": "fake",
    };
    writeFileSync(path, JSON.stringify(config));
  }

  compact(): void {
    this.#oldest = this.#version;
    this.#history = [];
  }

  /** As if etcd were restored from a backup. */
  goBack(version: number): void {
    this.#version = version;
  }

  /** Raw text to everyone who watches. */
  tellWatchers(text: string): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  /** Ends every watch, in the middle of whatever it is. */
  cutWatches(): void {
    for (const { response } of this.#watchers) response.destroy();
    this.#watchers.clear();
  }

  async close(): Promise<void> {
    this.cutWatches();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    const url = new URL(request.url ?? "/", this.url);
    const method = request.method ?? "GET";
    this.requests.push(`${method} ${url.pathname}${url.searchParams.has("watch") ? "?watch" : ""}`);
    const fault = this.fault(method, url, request.headers);
    if (fault === "hang") return;
    if (fault === "reset") {
      response.destroy();
      return;
    }
    if (typeof fault === "object") {
      const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
      response.writeHead(fault.status, headers).end(fault.body ?? "");
      return;
    }
    const match = /^\/api\/v1\/namespaces\/([^/]+)\/configmaps(?:\/([^/]+))?$/.exec(url.pathname);
    if (match === null) {
      refuse(response, 404, "NotFound", {});
      return;
    }
    const [, namespace = "", name] = match;
    if (name === undefined && url.searchParams.has("watch")) {
      this.#watch(response, namespace, url.searchParams);
      return;
    }
    const [status, answer] = this.#do(method, namespace, name, url.searchParams, body);
    if (fault === "lose") {
      response.destroy();
      return;
    }
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  #do(method: string, namespace: string, name: string | undefined, query: URLSearchParams, body: string): Answer {
    if (method === "GET" && name === undefined) return [200, this.#list(namespace, query)];
    const sent = body === "" ? undefined : JSON.parse(body);
    const key = `${namespace}/${name ?? sent.metadata.name}`;
    const old = this.#objects.get(key);
    if (method === "POST") return old ? status(409, "AlreadyExists", key) : this.#put(key, "ADDED", sent);
    if (old === undefined) return status(404, "NotFound", key);
    const wanted = method === "DELETE" ? sent?.preconditions?.resourceVersion : sent?.metadata.resourceVersion;
    if (wanted !== undefined && wanted !== old.metadata.resourceVersion) return status(409, "Conflict", key);
    if (method === "PUT") {
      const same = JSON.stringify({ ...sent, metadata: { ...sent.metadata, resourceVersion: "" } });
      const before = JSON.stringify({ ...old, metadata: { ...old.metadata, resourceVersion: "" } });
      // As the real one: what changes nothing is no write.
      return same === before ? [200, old] : this.#put(key, "MODIFIED", sent);
    }
    if (method === "DELETE") {
      this.#objects.delete(key);
      return this.#change("DELETED", old);
    }
    return [200, old];
  }

  #put(key: string, type: "ADDED" | "MODIFIED", object: ConfigMap): Answer {
    const [, stored] = this.#change(type, object);
    this.#objects.set(key, stored);
    return [type === "ADDED" ? 201 : 200, stored];
  }

  #change(type: Change["type"], object: ConfigMap): [number, ConfigMap] {
    const version = ++this.#version;
    const changed = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    this.#history.push({ version, type, object: changed });
    for (const { response, wanted } of this.#watchers) if (wanted(changed)) response.write(line(type, changed));
    return [200, changed];
  }

  #list(namespace: string, query: URLSearchParams) {
    const items = this.#select(namespace, query);
    // The continue token is where the next page begins.
    const from = Number(query.get("continue") ?? 0);
    const limit = Number(query.get("limit") ?? items.length);
    const rest = from + limit < items.length ? { continue: String(from + limit) } : {};
    return { metadata: { resourceVersion: this.version, ...rest }, items: items.slice(from, from + limit) };
  }

  #select(namespace: string, query: URLSearchParams): ConfigMap[] {
    const wanted = selector(namespace, query);
    return [...this.#objects].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, each]) => (wanted(each) ? [each] : []));
  }

  #watch(response: ServerResponse, namespace: string, query: URLSearchParams): void {
    const initial = query.has("sendInitialEvents");
    if (initial && !this.streamsLists) {
      refuse(response, 422, "Invalid", {});
      return;
    }
    const from = Number(query.get("resourceVersion") ?? this.#version);
    response.writeHead(200, { "content-type": "application/json" });
    if (from < this.#oldest) {
      response.end(
        line("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" }),
      );
      return;
    }
    const wanted = selector(namespace, query);
    if (initial) {
      for (const object of this.#select(namespace, query)) response.write(line("ADDED", object));
      const annotations = { "k8s.io/initial-events-end": "true" };
      response.write(line("BOOKMARK", { metadata: { resourceVersion: this.version, annotations } }));
    } else {
      for (const { version, type, object } of this.#history) {
        if (version > from && wanted(object)) response.write(line(type, object));
      }
      response.write(""); // the answer's head goes out at once
      response.flushHeaders();
    }
    const watcher = { response, wanted };
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
  }
}

type Answer = readonly [number, unknown];

function selector(namespace: string, query: URLSearchParams): (object: ConfigMap) => boolean {
  const [label = "", value] = (query.get("labelSelector") ?? "").split("=");
  const name = query.get("fieldSelector")?.replace("metadata.name=", "");
  return ({ metadata }) =>
    metadata.namespace === namespace &&
    (name === undefined || metadata.name === name) &&
    (label === "" || metadata.labels?.[label] === value);
}

const line = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`;

function status(code: number, reason: string, name: string): [number, unknown] {
  return [code, { kind: "Status", code, reason, message: `${reason} ${name}`, details: { kind: "configmaps", name } }];
}

function refuse(response: ServerResponse, code: number, reason: string, details: unknown): void {
  response.writeHead(code).end(JSON.stringify({ kind: "Status", code, reason, message: reason, details }));
}
