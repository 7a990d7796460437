import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { PolicyState } from "../../../src/model/policy-state.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import { openDatastore } from "../../../src/store/open.ts";
import { CLUSTER_NETWORK_POLICIES, NAMESPACES, NETWORK_POLICIES, objectName, PODS } from "../../kinds.ts";
import { Caches } from "../caches.ts";
import { Policy, type PolicyOptions } from "./policy.ts";

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
});

/** A cluster's datastore, the agent's state on disk, and a kernel that takes what it is given, or refuses. */
class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), "twill-policy-"));
  readonly clock = new FakeClock();
  readonly asked: string[] = [];
  readonly written: (PolicyState | undefined)[] = [];
  away = false;
  refuses: string | undefined;
  held: PolicyOptions["kernel"]["held"];
  readonly #store: Datastore;
  #cut = new AbortController();

  private constructor(store: Datastore) {
    this.#store = store;
  }

  static async open(): Promise<Scene> {
    const folder = mkdtempSync(join(tmpdir(), "twill-policy-store-"));
    const store = await openDatastore(`embedded:${folder}/cluster.db`);
    const scene = new Scene(store);
    undo.push(() => {
      for (const each of [folder, scene.folder]) rmSync(each, { recursive: true, force: true });
    });
    undo.push(() => store.close());
    return scene;
  }

  agent(more: Partial<PolicyOptions> = {}): Policy {
    const scene = this;
    const { clock } = this;
    const caches = new Caches({ stateDir: this.folder, clock, log: silentLog, onKept: () => {} });
    const policy = new Policy({
      node: "n1",
      unknown: "closed",
      store: this.#gate(),
      caches,
      kernel: {
        held: this.held,
        isReady: true,
        write(state) {
          if (scene.refuses !== undefined) throw new TwillError("io", scene.refuses);
          scene.written.push(state);
        },
      },
      clock,
      random: seededRandom(1),
      log: silentLog,
      onChange: () => {},
      ...more,
    });
    undo.push(() => policy.stop().then(() => caches.flush()));
    return policy;
  }

  /** The agent ends, and what it knew is on the disk. */
  async end(): Promise<void> {
    await undo.pop()?.();
  }

  goAway(): void {
    this.away = true;
    this.#cut.abort();
    this.#cut = new AbortController();
  }

  async put(kind: string, name: string, object: object): Promise<void> {
    const value = new TextEncoder().encode(JSON.stringify(object));
    const before = await this.#store.get(kind, name);
    if (before === undefined) await this.#store.create(kind, name, value);
    else await this.#store.update(kind, name, value, before.revision);
  }
  delete(kind: string, name: string): Promise<void> {
    return this.#store.delete(kind, name);
  }

  namespace(name: string): Promise<void> {
    return this.put(NAMESPACES, name, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  pod(name: string, uid: string, labels: Record<string, string>, node = "n1", address?: string): Promise<void> {
    return this.put(PODS, objectName("shop", name), {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: "shop", name, uid, labels },
      spec: { nodeName: node, containers: [] },
      status: address === undefined ? {} : { podIPs: [{ ip: address }] },
    });
  }
  policy(name: string, spec: object): Promise<void> {
    const metadata = { namespace: "shop", name };
    const object = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
    return this.put(NETWORK_POLICIES, objectName("shop", name), object);
  }

  /** Lets what was written into the datastore arrive; FakeClock's time stands still. */
  async until(isSo: () => boolean): Promise<void> {
    for (const deadline = performance.now() + 20_000; !isSo(); await Bun.sleep(2))
      if (performance.now() > deadline) throw new Error(`it did not come to pass: ${isSo}`);
  }

  #gate(): Datastore {
    const store = this.#store;
    const ask = <T>(what: string, work: () => Promise<T>): Promise<T> => {
      this.asked.push(what);
      return this.away ? Promise.reject(new TwillError("unavailable", "nobody answers")) : work();
    };
    const scene = this;
    return {
      capabilities: store.capabilities,
      list: (kind) => ask(`list ${kind}`, () => store.list(kind)),
      get: (kind, name) => ask(`get ${kind}/${name}`, () => store.get(kind, name)),
      create: (...args) => store.create(...args),
      update: (...args) => store.update(...args),
      delete: (...args) => store.delete(...args),
      renew: (...args) => store.renew(...args),
      watch: async function* (kind, from, { signal } = {}) {
        const both = AbortSignal.any([scene.#cut.signal, ...(signal === undefined ? [] : [signal])]);
        yield* store.watch(kind, from, { signal: both });
        if (scene.away) throw new TwillError("unavailable", "nobody answers");
      },
      close: () => Promise.resolve(),
    };
  }
}

const key = (containerId: string) => ({ network: "twill", containerId, ifname: "eth0" });
const named = (name: string, uid: string) => ({ podNamespace: "shop", podName: name, podUid: uid });
const ip = (text: string) => [text as Address];
const denyAll = { podSelector: {}, policyTypes: ["Ingress", "Egress"] };
const last = <T>(all: readonly T[]): T | undefined => all.at(-1);

test("without a policy nobody is watched, nothing stands in the kernel, and no pod waits", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  const policy = scene.agent();
  expect(policy.waitingFor).toEqual(["the list of networkpolicies", "the list of clusternetworkpolicies"]);
  await scene.until(() => policy.waitingFor.length === 0);
  expect(scene.written).toEqual([undefined]);
  expect(policy.prepare(named("web", "u1"))).toBeUndefined();
  policy.added(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  expect(scene.asked.filter((what) => what.startsWith("list"))).toEqual([
    `list ${NETWORK_POLICIES}`,
    `list ${CLUSTER_NETWORK_POLICIES}`,
  ]);
  expect(scene.written).toEqual([undefined]);
});

test("from the first policy on: one write, once all pods are known; after the last one nothing again, a while later", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.pod("web", "u1", { app: "web" });
  const policy = scene.agent();
  await scene.until(() => policy.waitingFor.length === 0);
  policy.added(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  await scene.policy("deny", denyAll);
  await scene.until(() => last(scene.written) !== undefined);
  expect(scene.written.length).toBe(2);
  const row = last(scene.written)?.addresses.get("10.0.0.1" as Address);
  expect([row?.ingress, row?.egress].every((group) => group !== undefined && group > 0)).toBe(true);
  expect(policy.unknown).toEqual([]);

  await scene.delete(NETWORK_POLICIES, "shop.deny");
  await scene.until(() => scene.written.length === 3);
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress ?? 0).toBe(0);
  await scene.clock.advance(61_000);
  await scene.until(() => scene.written.length === 4);
  expect(last(scene.written)).toBeUndefined();
  await scene.policy("again", denyAll);
  await scene.until(() => scene.written.length === 5);
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress).toBeGreaterThan(0);
});

test("a new pod's policy is in the kernel when ADD goes on: by the watch, by a look, or denied", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("deny", { ...denyAll, podSelector: { matchLabels: { app: "web" } } });
  await scene.pod("web", "u1", { app: "web" });
  const policy = scene.agent();
  await scene.until(() => policy.waitingFor.length === 0);
  expect(policy.prepare(named("web", "u1"))).toBeUndefined();
  policy.added(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress).toBeGreaterThan(0);

  // The watch is late.
  scene.goAway();
  scene.away = false;
  await scene.pod("free", "u2", { app: "free" });
  await policy.prepare(named("free", "u2"));
  expect(scene.asked).toContain("get pods/shop.free");
  policy.added(key("c2"), named("free", "u2"), ip("10.0.0.2"));
  expect([policy.unknown, last(scene.written)?.addresses.get("10.0.0.2" as Address)?.ingress ?? 0]).toEqual([[], 0]);

  // Nobody knows it.
  const nobody = policy.prepare(named("late", "u3"));
  await nobody;
  policy.added(key("c3"), named("late", "u3"), ip("10.0.0.3"));
  const denied = last(scene.written)?.addresses.get("10.0.0.3" as Address);
  expect([policy.unknown, (denied?.ingress ?? 0) > 0, (denied?.egress ?? 0) > 0]).toEqual([["shop/late"], true, true]);
  await scene.pod("late", "u3", { app: "late" });
  await scene.clock.advance(20_000);
  await scene.until(() => policy.unknown.length === 0);
  await scene.until(() => (last(scene.written)?.addresses.get("10.0.0.3" as Address)?.ingress ?? 0) === 0);
  policy.removed(key("c3"));
  await scene.until(() => last(scene.written)?.addresses.has("10.0.0.3" as Address) === false);
});

test("with the setting `open` a pod that nobody knows is let through", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("deny", denyAll);
  const policy = scene.agent({ unknown: "open" });
  await scene.until(() => policy.waitingFor.length === 0);
  await policy.prepare(named("late", "u3"));
  policy.added(key("c3"), named("late", "u3"), ip("10.0.0.3"));
  expect(last(scene.written)?.addresses.get("10.0.0.3" as Address)?.ingress ?? 0).toBe(0);
  expect(policy.unknown).toEqual(["shop/late"]);
});

test("what the kernel refuses is no pod's, is said, and is tried again", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("deny", denyAll);
  await scene.pod("web", "u1", { app: "web" });
  const policy = scene.agent();
  await scene.until(() => policy.waitingFor.length === 0);
  scene.refuses = "no buffer space";
  expect(() => policy.added(key("c1"), named("web", "u1"), ip("10.0.0.1"))).toThrow("no buffer space");
  expect(policy.waitingFor).toEqual(["policy to be put into force"]);
  expect(policy.problems.map(({ reason }) => reason)).toContain("PolicyNotInForce");
  scene.refuses = undefined;
  await scene.clock.advance(1_000);
  await scene.until(() => policy.waitingFor.length === 0);
  expect(last(scene.written)?.addresses.has("10.0.0.1" as Address)).toBe(false);
});

test("a restart: the kernel holds what it held until all is known anew; with the datastore away, until the caches must do", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("deny", denyAll);
  await scene.pod("web", "u1", { app: "web" });
  const first = scene.agent();
  await scene.until(() => first.waitingFor.length === 0);
  await scene.clock.advance(120_000);
  await scene.end();
  scene.written.length = 0;
  scene.held = { addresses: new Map(), networks: [], ports: new Map(), decisions: new Map() };
  scene.goAway();
  const second = scene.agent();
  second.restored(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  await Bun.sleep(50);
  expect([scene.written, second.waitingFor]).toEqual([[], ["policies as the datastore has them"]]);
  await scene.clock.advance(10_000);
  await scene.until(() => second.waitingFor.length === 0);
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress).toBeGreaterThan(0);

  // On a machine that was booted nothing holds anything: the caches have to do at once.
  await scene.end();
  scene.written.length = 0;
  scene.held = undefined;
  const third = scene.agent();
  third.restored(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  await scene.until(() => third.waitingFor.length === 0);
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress).toBeGreaterThan(0);
});

test("policies changed while the agent was dead: what is in force afterwards is the new, and nothing between", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("deny", denyAll);
  await scene.pod("web", "u1", { app: "web" });
  const first = scene.agent();
  await scene.until(() => first.waitingFor.length === 0);
  await scene.clock.advance(120_000);
  await scene.end();
  await scene.policy("deny", { ...denyAll, podSelector: { matchLabels: { app: "other" } } });
  scene.written.length = 0;
  scene.held = { addresses: new Map(), networks: [], ports: new Map(), decisions: new Map() };
  const second = scene.agent();
  second.restored(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  await scene.until(() => second.waitingFor.length === 0);
  expect(scene.written.map((state) => state?.addresses.get("10.0.0.1" as Address)?.ingress ?? 0)).toEqual([0]);
});

test("a policy with an error keeps its last good version; without one it denies, and both are said", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.policy("good", { podSelector: {}, ingress: [{}] });
  await scene.pod("web", "u1", { app: "web" });
  const policy = scene.agent();
  await scene.until(() => policy.waitingFor.length === 0);
  await scene.policy("good", { podSelector: {}, ingress: [{ from: "everybody" }] });
  await scene.policy("never", { podSelector: { matchLabels: { app: 7 } } });
  await scene.until(() => policy.model.policies.get("NetworkPolicy shop/never")?.broken !== undefined);
  expect(policy.model.policies.get("NetworkPolicy shop/good")?.broken).toBeUndefined();
  await scene.clock.advance(1_000);
  await scene.until(() => policy.problems.length === 2);
  expect(policy.problems.map(({ subject }) => subject).sort()).toEqual([
    "NetworkPolicy shop/good",
    "NetworkPolicy shop/never",
  ]);
});

test("a pod that comes with the first policy waits for its own policy, and the node stays ready", async () => {
  const scene = await Scene.open();
  await scene.namespace("shop");
  await scene.pod("web", "u1", { app: "web" });
  const policy = scene.agent();
  await scene.until(() => policy.waitingFor.length === 0);
  await scene.policy("deny", denyAll);
  await scene.until(() => policy.model.policies.size === 1);
  const prepared = policy.prepare(named("web", "u1"));
  expect([policy.waitingFor, prepared === undefined && scene.written.length === 1]).toEqual([[], false]);
  await prepared;
  policy.added(key("c1"), named("web", "u1"), ip("10.0.0.1"));
  expect(last(scene.written)?.addresses.get("10.0.0.1" as Address)?.ingress).toBeGreaterThan(0);
});
