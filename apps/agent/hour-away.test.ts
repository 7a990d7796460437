import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../../src/base/address.ts";
import { FakeClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import { decodeLease, encodeLease } from "../../src/intent/flannel/lease.ts";
import type { Lease } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { Reflector } from "../../src/store/reflector.ts";
import { NODES } from "../kinds.ts";
import { Advertiser } from "./advertiser.ts";
import { StoreHealth } from "./store-health.ts";

/** A datastore with a switch; what is asked of it while it is off is counted. */
function switched(store: Datastore) {
  let [away, asked] = [false, 0];
  let connection = new AbortController();
  const refuse = () => {
    asked++;
    return new TwillError("unavailable", "nobody answers");
  };
  const gate: Datastore = {
    capabilities: { ttl: false, compaction: true }, // as Kubernetes
    list: async (...args) => (away ? Promise.reject(refuse()) : store.list(...args)),
    get: async (...args) => (away ? Promise.reject(refuse()) : store.get(...args)),
    create: async (...args) => (away ? Promise.reject(refuse()) : store.create(...args)),
    update: async (...args) => (away ? Promise.reject(refuse()) : store.update(...args)),
    delete: async (...args) => (away ? Promise.reject(refuse()) : store.delete(...args)),
    renew: () => Promise.reject(new TwillError("unsupported", "it has no leases")),
    watch: async function* (kind, from, options) {
      if (away) throw refuse();
      const signals = [connection.signal, ...(options?.signal === undefined ? [] : [options.signal])];
      yield* store.watch(kind, from, { signal: AbortSignal.any(signals) });
      if (away) throw refuse();
    },
    close: () => Promise.resolve(),
  };
  return {
    gate,
    asked: () => asked,
    off: () => {
      away = true;
      connection.abort();
    },
    on: () => {
      away = false;
      connection = new AbortController();
    },
  };
}

const lease = (node: string, address: string): Lease => ({
  node,
  subnets: [],
  addresses: [address as Address],
  backendType: "host-gw",
  backendData: {},
});

test("an hour without the datastore: nothing is forgotten, it is asked now and then, and afterwards only what changed is told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "twill-hour-"));
  const store = await openDatastore(`embedded:${folder}/cluster.db`);
  const { gate, asked, off, on } = switched(store);
  const clock = new FakeClock();
  const health = new StoreHealth(clock, silentLog);
  const told: string[] = [];
  const common = { store: gate, clock, log: silentLog };
  const nodes = new Reflector<Lease>({
    ...common,
    kind: NODES,
    decode: (value, name) => decodeLease(value, name),
    random: seededRandom(1),
    onChange: (deltas) => told.push(...deltas.map(({ type, name }) => `${type} ${name}`)),
    onState: (state, error) => health.onState(state, error),
  });
  const advertiser = new Advertiser({
    ...common,
    encode: encodeLease,
    decode: (name, value) => decodeLease(value, name),
    ttlSeconds: 86_400,
    onChange: () => {},
  });
  const pass = async (seconds: number, each: () => void = () => {}) => {
    for (let second = 0; second < seconds; second++) {
      await clock.advance(1000);
      await Bun.sleep(0);
      each();
    }
  };
  /** What the store does takes its own time; nothing else is waited for. */
  const until = async (isSo: () => boolean) => {
    while (!isSo()) {
      await pass(1);
      await Bun.sleep(1);
    }
  };
  const write = (each: Lease) => store.create(NODES, each.node, encodeLease(each));
  try {
    await write(lease("node2", "192.0.2.2"));
    await write(lease("node3", "192.0.2.3"));
    advertiser.set(lease("node1", "192.0.2.1"));
    await until(() => nodes.state === "synced" && nodes.objects().size === 3 && advertiser.published);

    told.length = 0;
    off();
    await until(() => nodes.state === "stale");
    const began = clock.now();
    advertiser.set(lease("node1", "192.0.2.11"));
    await pass(3600, () => expect([...nodes.objects().keys()]).toEqual(["node1", "node2", "node3"]));
    expect([told, nodes.state, health.reachable, advertiser.published]).toEqual([[], "stale", false, false]);
    expect(Math.abs(health.awaySince - began)).toBeLessThan(60_000);
    // Two ask: one at most every 5 s (reflector), one at most every 30 s (advertiser). Both never give up.
    expect(asked()).toBeGreaterThan(3600 / 15);
    expect(asked()).toBeLessThan(3600 / 4);

    await store.delete(NODES, "node2");
    await write(lease("node4", "192.0.2.4"));
    on();
    await until(() => nodes.state === "synced" && advertiser.published && told.length >= 3);
    expect(told.toSorted()).toEqual(["delete node2", "put node1", "put node4"]);
    expect(nodes.get("node1")?.addresses).toEqual(["192.0.2.11" as Address]);
    expect(health.reachable).toBe(true);
  } finally {
    advertiser.stop();
    await nodes.close();
    await store.close();
    rmSync(folder, { recursive: true });
  }
});
