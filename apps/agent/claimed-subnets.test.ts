import { expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Prefix } from "../../src/base/prefix.ts";
import { seededRandom } from "../../src/base/random.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { claimName, SUBNETS } from "../../src/ipam/subnet-claim.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { ClaimedSubnets } from "./claimed-subnets.ts";

async function freshStore(): Promise<Datastore> {
  const folder = mkdtempSync(join(tmpdir(), "twill-subnets-"));
  const store = await openDatastore(`embedded:${folder}/cluster.db`);
  onTestFinished(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });
  return store;
}

interface Setting {
  readonly previous?: readonly Prefix[];
  readonly inUse?: (subnet: Prefix) => boolean;
}

function subnetsOf(node: string, store: Datastore, setting: Setting = {}) {
  let network: ClusterNetwork | undefined;
  const subnets = new ClaimedSubnets({
    store,
    holder: { node, id: node },
    readNetwork: () =>
      network === undefined ? Promise.reject(new TwillError("unavailable", "none yet")) : Promise.resolve(network),
    previous: setting.previous ?? [],
    renewMarginSeconds: 3600,
    inUse: setting.inUse ?? (() => false),
    clock: systemClock,
    random: seededRandom(node.length),
    log: silentLog,
    onChange: () => {},
  });
  onTestFinished(() => subnets.stop());
  const setNetwork = (text: object) => {
    network = parseNetConf(JSON.stringify(text));
    subnets.setNetwork(network);
  };
  return { subnets, setNetwork };
}

const until = async (condition: () => boolean | Promise<boolean>) => {
  for (let tries = 0; tries < 500 && !(await condition()); tries++) await Bun.sleep(10);
  expect(await condition()).toBe(true);
};
const claimed = async (store: Datastore): Promise<readonly string[]> =>
  (await store.list(SUBNETS)).objects.map(({ name }) => name);

test("one subnet a family; a family that goes is given back, one that comes is claimed", async () => {
  const store = await freshStore();
  const { subnets, setNetwork } = subnetsOf("node1", store);
  setNetwork({ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:10:244::/48" });
  await until(() => subnets.subnets.length === 2);
  const [four, six] = subnets.subnets;
  setNetwork({ Network: "10.244.0.0/16" });
  expect(subnets.subnets).toEqual(four === undefined ? [] : [four]);
  await until(async () => (await claimed(store)).length === 1);
  expect(await claimed(store)).toEqual([claimName(four ?? ("" as Prefix))]);
  setNetwork({ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:10:244::/48" });
  await until(() => subnets.subnets.length === 2);
  expect(subnets.subnets[0]).toBe(four);
  expect(six).toBeDefined();
});

test("what the node had is in force before the datastore has answered, and stays its own", async () => {
  const store = await freshStore();
  const had = "10.244.77.0/24" as Prefix;
  const { subnets, setNetwork } = subnetsOf("node1", store, { previous: [had] });
  expect(subnets.subnets).toEqual([had]);
  setNetwork({ Network: "10.244.0.0/16" });
  await until(async () => (await claimed(store)).includes("10.244.77.0-24"));
  expect(subnets.subnets).toEqual([had]);
});

test("another network: a new subnet at once, the old one only when no pod uses it any more", async () => {
  const store = await freshStore();
  let pods = true;
  const { subnets, setNetwork } = subnetsOf("node1", store, { inUse: () => pods });
  setNetwork({ Network: "10.244.0.0/16" });
  await until(() => subnets.subnets.length === 1);
  setNetwork({ Network: "10.99.0.0/16" });
  await until(() => subnets.subnets[0]?.startsWith("10.99.") === true);
  expect((await claimed(store)).length).toBe(2);
  pods = false;
  await subnets.releaseSurplus();
  await until(async () => (await claimed(store)).length === 1);
});

test("no subnet left: a problem with its remedy, and it goes when one is free", async () => {
  const store = await freshStore();
  const first = subnetsOf("node1", store);
  const second = subnetsOf("node2", store);
  const small = { Network: "10.244.0.0/23", SubnetLen: 25, SubnetMin: "10.244.1.128" };
  first.setNetwork(small);
  await until(() => first.subnets.subnets.length === 1);
  second.setNetwork(small);
  await until(() => second.subnets.problems.length === 1);
  expect(second.subnets.problems[0]?.message).toContain("leased");
  await store.delete(SUBNETS, claimName(first.subnets.subnets[0] ?? ("" as Prefix)));
  first.subnets.stop();
  await until(() => second.subnets.subnets.length === 1);
  await until(() => second.subnets.problems.length === 0);
});
