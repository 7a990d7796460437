import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import type { Revision, WatchEvent } from "../datastore.ts";
import { objectName } from "./config-map-kind.ts";
import { anonymous } from "./credentials.ts";
import { KubernetesDatastore, type KubernetesOptions } from "./datastore.ts";
import { FakeApiServer, type Fault } from "./fake-api-server.fixture.ts";

let server: FakeApiServer;
let store: KubernetesDatastore;
beforeEach(async () => {
  server = await FakeApiServer.start();
  store = open();
});
afterEach(async () => {
  await store.close();
  await server.close();
});

function open(options: KubernetesOptions = {}): KubernetesDatastore {
  const access = { server: server.url, insecure: false, credentials: anonymous, source: "the test" };
  return new KubernetesDatastore(access, { clock: systemClock, random: seededRandom(1), ...options });
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

async function failure(promise: Promise<unknown>): Promise<TwillError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof TwillError)) throw new Error(`a TwillError was expected, not ${thrown}`);
  return thrown;
}

async function take(watch: AsyncIterable<WatchEvent>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of watch) {
    seen.push(event.type === "put" ? `put ${event.object.name}` : event.type);
    if (seen.length === count) break;
  }
  return seen;
}

/** The next requests of that method meet these faults, one each. */
function faults(method: string, ...list: Fault[]): void {
  server.fault = (asked) => (asked === method ? list.shift() : undefined);
}

describe("an answer that is lost:", () => {
  test("the write is found to have happened, and is not done twice", async () => {
    faults("POST", "lose");
    const created = await store.create("nodes", "a", bytes("one"));
    expect(await store.get("nodes", "a")).toEqual(created);
    faults("PUT", "lose");
    const updated = await store.update("nodes", "a", bytes("two"), created.revision);
    expect(await store.get("nodes", "a")).toEqual(updated);
    faults("DELETE", "lose");
    await store.delete("nodes", "a", updated.revision);
    expect(await store.get("nodes", "a")).toBeUndefined();
    // Created, updated, deleted: three changes.
    expect(Number((await store.list("nodes")).revision) - Number(created.revision)).toBe(2);
  });

  test("a write that did not happen is done again", async () => {
    faults("POST", "reset", { status: 500 });
    const created = await store.create("nodes", "a", bytes("one"));
    faults("PUT", "reset");
    await store.update("nodes", "a", bytes("two"), created.revision);
    expect(text((await store.get("nodes", "a"))?.value)).toBe("two");
  });

  test("another's object of that name is still another's", async () => {
    await store.create("nodes", "a", bytes("other"));
    faults("POST", "reset");
    expect((await failure(store.create("nodes", "a", bytes("ours")))).code).toBe("exists");
    expect(text((await store.get("nodes", "a"))?.value)).toBe("other");
  });

  test("a write that nobody can tell about is unavailable", async () => {
    server.fault = (method) => (method === "POST" || method === "GET" ? "reset" : undefined);
    const hasty = open({ retryFor: 200 });
    expect(await failure(hasty.create("nodes", "a", bytes("one")))).toMatchObject({
      code: "unavailable",
      operation: "create",
      object: "nodes/a",
    });
    await hasty.close();
  });
});

describe("a server in trouble:", () => {
  test("reads are repeated through broken connections, 5xx and 429", async () => {
    await store.create("nodes", "a", bytes("one"));
    faults("GET", "reset", { status: 500 }, { status: 429, retryAfter: 0 }, { status: 503, retryAfter: 0 });
    expect(text((await store.get("nodes", "a"))?.value)).toBe("one");
  });

  test("a write that was refused at the door is made again, one that may have happened is not", async () => {
    faults("POST", { status: 429, retryAfter: 0 }, { status: 503, retryAfter: 0 });
    await store.create("nodes", "a", bytes("one"));
    expect(server.requests.filter((request) => request.startsWith("POST")).length).toBe(3);
    // In between there is a look at what happened.
    faults("POST", { status: 504 });
    await store.create("nodes", "b", bytes("one"));
    expect(server.requests.slice(-3).map((request) => request.split(" ")[0])).toEqual(["POST", "GET", "POST"]);
  });

  test("one that asks for more patience than we have is not asked again", async () => {
    faults("GET", { status: 429, retryAfter: 3600 });
    expect((await failure(store.get("nodes", "a"))).message).toBe("the API server is overloaded and asks us to wait");
    expect(server.requests.length).toBe(1);
  });

  test("one that does not answer is given up", async () => {
    const hasty = open({ requestTimeout: 100, retryFor: 0 });
    server.fault = () => "hang";
    const error = await failure(hasty.get("nodes", "a"));
    expect([error.code, error.message]).toEqual(["unavailable", `${server.url} did not answer within 0 s`]);
    await hasty.close();
  });

  test("what answers with something else than JSON is no API server", async () => {
    faults("GET", { status: 200, body: "<html>Sign in" });
    expect((await failure(store.get("nodes", "a"))).code).toBe("corrupt");
    faults("GET", { status: 302 });
    expect((await failure(store.get("nodes", "a"))).code).toBe("internal");
    faults("GET", { status: 404, body: "<html>\n  404 page not found" });
    const error = await failure(store.get("nodes", "a"));
    expect([error.code, error.message]).toEqual([
      "unsupported",
      "the API server does not serve configmaps: the API server answered: <html> 404 page not found",
    ]);
    faults("GET", { status: 200, body: '{"metadata":{}}' });
    expect((await failure(store.get("nodes", "a"))).code).toBe("corrupt");
  });
});

describe("lists:", () => {
  test("where the server cannot stream them they are read in pages, and it is not asked again", async () => {
    for (const name of ["a", "b", "c"]) await store.create("nodes", name, bytes(name));
    server.streamsLists = false;
    expect((await store.list("nodes")).objects.map((object) => object.name)).toEqual(["a", "b", "c"]);
    await store.list("nodes");
    const asked = server.requests
      .filter((request) => request.startsWith("GET"))
      .map((request) => request.includes("?"));
    expect(asked).toEqual([true, false, false]);
  });

  test("pages that are forgotten in between are begun again", async () => {
    server.streamsLists = false;
    const names = Array.from({ length: 501 }, (_, index) => `n${String(index).padStart(3, "0")}`);
    await Promise.all(names.map((name) => store.create("nodes", name, bytes(name))));
    let gone = 0;
    server.fault = (_, url) => (url.searchParams.has("continue") && gone++ === 0 ? { status: 410 } : undefined);
    expect((await store.list("nodes")).objects.map((object) => object.name)).toEqual(names);
    expect(gone).toBe(2);
  });

  test("what carries our label and not our name, or no value, does not harm the others", async () => {
    await store.create("nodes", "good", bytes("x"));
    const labels = { "twill.dev/kind": "nodes" };
    for (const metadata of [
      { name: "kube-root-ca.crt", labels },
      { name: "nodes.", labels },
      { name: "config.a", labels },
      { name: "nodes.empty", labels },
      { name: "nodes.liar", labels, annotations: { "twill.dev/name": "truth" } },
    ]) {
      const object = { metadata: { ...metadata, namespace: "twill-system" } };
      await fetch(`${server.url}/api/v1/namespaces/twill-system/configmaps`, {
        method: "POST",
        body: JSON.stringify(object),
      });
    }
    const listed = (await store.list("nodes")).objects.map(({ name, value }) => `${name} ${text(value)}`);
    expect(listed).toEqual(["empty ", "good x"]);
  });
});

describe("watches:", () => {
  test("go on where they were when the connection breaks in the middle of a line", async () => {
    const { revision } = await store.list("nodes");
    const watching = take(store.watch("nodes", revision), 3);
    await store.create("nodes", "a", bytes("x"));
    while (!server.requests.some((request) => request.endsWith("?watch"))) await Bun.sleep(5);
    server.tellWatchers('{"type":"ADDED","object":{"metadata":{"na');
    server.cutWatches();
    await store.create("nodes", "b", bytes("x"));
    server.cutWatches();
    await store.create("nodes", "c", bytes("x"));
    expect(await watching).toEqual(["put a", "put b", "put c"]);
  });

  test("go on after errors that pass, whether the answer's status tells them or an event", async () => {
    const { revision } = await store.list("nodes");
    const list: Fault[] = [{ status: 500 }, { status: 429, retryAfter: 0 }, "reset"];
    server.fault = (_, url) => (url.searchParams.has("watch") ? list.shift() : undefined);
    await store.create("nodes", "a", bytes("x"));
    const watching = take(store.watch("nodes", revision), 2);
    await Bun.sleep(600);
    server.tellWatchers('{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is away"}}\n');
    await store.create("nodes", "b", bytes("x"));
    expect(await watching).toEqual(["put a", "put b"]);
  });

  test("that are refused fail at once", async () => {
    server.fault = (_, url) => (url.searchParams.has("watch") ? { status: 403 } : undefined);
    expect((await failure(take(store.watch("nodes", "100" as Revision), 1))).code).toBe("denied");
  });

  test("tell what is no event of a watch", async () => {
    for (const line of ["[]", '{"type":"ODD"}', '{"type":"ADDED","object":{}}', "{", "x".repeat(50)]) {
      const watching = failure(take(store.watch("nodes", server.version as Revision), 1));
      await Bun.sleep(100);
      server.tellWatchers(`${line}\n`);
      expect([line, (await watching).code]).toEqual([line, "corrupt"]);
    }
  });

  test("are told to list again when the server is another, or as it was before", async () => {
    const { revision } = await store.create("nodes", "a", bytes("x"));
    const watching = take(store.watch("nodes", revision), 1);
    await Bun.sleep(50);
    server.goBack(50);
    server.cutWatches();
    expect(await watching).toEqual(["relist"]);
  });

  test("notice a connection on which nothing comes any more", async () => {
    const impatient = open({ longestSilence: 200 });
    const { revision } = await impatient.list("nodes");
    const watching = take(impatient.watch("nodes", revision), 1);
    const watches = () => server.requests.filter((request) => request.endsWith("?watch")).length;
    const before = watches();
    while (watches() < before + 2) await Bun.sleep(10);
    await store.create("nodes", "a", bytes("x"));
    expect(await watching).toEqual(["put a"]);
    await impatient.close();
  });
});

describe("names of ConfigMaps:", () => {
  test("kind and name where that fits, else a hash; never two objects under one", () => {
    expect(objectName("nodes", "a.b")).toBe("nodes.a.b");
    const long = "a".repeat(253);
    const hashed = objectName("nodes", long);
    expect(hashed).toMatch(/^nodes\.sha256\.[0-9a-f]{64}$/);
    expect(objectName("nodes", hashed.slice("nodes.".length))).not.toBe(hashed);
    expect(objectName("n".repeat(63), long).length).toBeLessThanOrEqual(253);
  });
});
