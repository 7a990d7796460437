import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { parseNetConf } from "../../../src/intent/flannel/net-conf.ts";
import { decodeSwitchTarget } from "../../../src/intent/flannel/switch-target.ts";
import type { Lease } from "../../../src/model/network.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import { openDatastore } from "../../../src/store/open.ts";
import type { NetworkSource } from "../network-source.ts";
import { PositionFile } from "./position-file.ts";
import { Switcher } from "./switcher.ts";

const others = 5_000;
const own = "node1";
const directly = { Network: "10.0.0.0/8", Backend: { Type: "vxlan", DirectRouting: true } };
const network = (text: object = { Network: "10.0.0.0/8", Backend: { Type: "vxlan" } }) =>
  parseNetConf(JSON.stringify(text), { source: "test", allowExtension: false });

/** The leases of a cluster, which counts how often all of them are asked for. */
class CountedLeases {
  readonly state = "synced";
  readonly leases = new Map<string, Lease>();
  walks = 0;

  get size(): number {
    return this.leases.size;
  }
  get(name: string): Lease | undefined {
    return this.leases.get(name);
  }
  objects(): ReadonlyMap<string, Lease> {
    this.walks++;
    return new Map(this.leases);
  }
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function inACluster() {
  const folder = mkdtempSync(join(tmpdir(), "twill-switcher-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  const store = await openDatastore(`embedded:${folder}/cluster.db`);
  closing.push(() => store.close());
  const leases = new CountedLeases();
  const lease = (node: string): Lease => ({
    node,
    subnets: [],
    addresses: [parseAddress("192.0.2.1")],
    backendType: "vxlan",
    backendData: { 4: { VNI: 1 } },
    peerPort: 9098,
  });
  for (let node = 0; node < others; node++) leases.leases.set(`other-${node}`, lease(`other-${node}`));
  const clock = new FakeClock();
  let [wanted, changes] = [network(), 0];
  const source: NetworkSource = {
    name: "a test",
    rejected: undefined,
    warnings: [],
    isMeant: true,
    get network() {
      return wanted;
    },
    adopted: () => {},
    read: () => Promise.resolve(wanted),
    close: () => Promise.resolve(),
  };
  const switcher = new Switcher({
    store,
    source,
    leases,
    node: own,
    boot: "this boot",
    file: new PositionFile(join(folder, "position.json"), false),
    allowExtension: false,
    cache: { load: () => undefined, changed: () => {} },
    openPresence: () => ({ ask: () => {}, heard: () => undefined, close: () => {} }),
    clock,
    random: seededRandom(5),
    log: silentLog,
    onChange: () => changes++,
  });
  closing.push(() => switcher.stop());
  const publish = (name: string, standing: Lease["standing"]): void => {
    leases.leases.set(name, { ...lease(name), ...(standing === undefined ? {} : { standing }) });
    switcher.heard(name);
    switcher.update();
  };
  /** As the agent does it: with each news, all that may be asked is asked. */
  const until = async (holds: () => boolean): Promise<void> => {
    for (const deadline = Date.now() + 20_000; !holds(); await Bun.sleep(1)) {
      if (Date.now() > deadline) throw new Error("the switcher does not go on");
      switcher.update();
      if (switcher.inForce !== undefined) switcher.acknowledge();
      publish(
        own,
        switcher.standing(() => ({ backendType: "vxlan", backendData: {} })),
      );
      await clock.advance(100);
    }
  };
  return { store, leases, clock, switcher, publish, until, want: (to: object) => (wanted = network(to)) };
}

async function targetOf(store: Datastore) {
  const stored = await store.get("switch", "target");
  return stored && decodeSwitchTarget(stored.value, { allowExtension: false });
}

test("news of one node among thousands walk no others", async () => {
  const { leases, switcher, publish, until } = await inACluster();
  await until(() => switcher.inForce !== undefined && switcher.isSettled);
  leases.walks = 0;
  for (let news = 0; news < 1_000; news++) {
    publish(`other-${news}`, undefined);
    expect([switcher.preview, switcher.status, switcher.inForce?.receives]).toEqual([undefined, undefined, []]);
  }
  expect(leases.walks).toBe(0);
}, 60_000);

test("a change among thousands looks at all of them now and then, not with each of their news", async () => {
  const { store, leases, clock, switcher, publish, until, want } = await inACluster();
  await until(() => switcher.isSettled);
  const first = await targetOf(store);
  if (first === undefined) throw new Error("there is no target");
  const standing = { epoch: 1, offers: [{ id: first.id, backendType: "vxlan", backendData: {} }], sends: first.id };
  for (let node = 0; node < others; node++) publish(`other-${node}`, standing);
  want(directly);
  await until(() => switcher.status?.epoch === 2 && switcher.inForce?.receives.length === 1);
  leases.walks = 0;
  const started = clock.monotonic();
  for (let news = 0; news < others; news++) {
    // 20 nodes' news in a millisecond.
    if (news % 20 === 0) await clock.advance(1);
    publish(`other-${news}`, { ...standing, epoch: 2 });
  }
  const elapsed = clock.monotonic() - started;
  expect(elapsed).toBe(others / 20);
  // Once in 100 ms, and the first time.
  expect(leases.walks).toBeLessThanOrEqual(elapsed / 100 + 1);
  expect(leases.walks).toBeGreaterThan(0);
}, 60_000);

test("what a cluster begins with is set at once, however many nodes it has", async () => {
  const { store, clock, switcher } = await inACluster();
  for (const deadline = Date.now() + 20_000; (await targetOf(store)) === undefined; await Bun.sleep(1)) {
    switcher.update();
    if (Date.now() > deadline) throw new Error("no target is set");
  }
  expect(clock.monotonic()).toBe(0);
}, 60_000);
