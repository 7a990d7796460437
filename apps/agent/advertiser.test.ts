import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../../src/base/address.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { decodeLease, encodeLease } from "../../src/intent/flannel/lease.ts";
import type { Lease } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { NODES } from "../kinds.ts";
import { Advertiser } from "./advertiser.ts";

const lease = (id: string, address: string): Lease => ({
  node: "node1",
  id,
  subnets: [],
  addresses: [address as Address],
  backendType: "host-gw",
  backendData: {},
});
const [mine, others] = ["1".repeat(32), "2".repeat(32)];

async function withStore(work: (store: Datastore, advertiser: Advertiser) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twill-advertiser-"));
  const store = await openDatastore(`embedded:${folder}/cluster.db`);
  const advertiser = new Advertiser({
    store,
    encode: encodeLease,
    decode: (name, value) => decodeLease(value, name),
    ttlSeconds: 3600,
    clock: systemClock,
    log: silentLog,
    onChange: () => {},
  });
  try {
    await work(store, advertiser);
  } finally {
    advertiser.stop();
    await store.close();
    rmSync(folder, { recursive: true });
  }
}

const until = async (condition: () => boolean) => {
  for (let tries = 0; tries < 500 && !condition(); tries++) await Bun.sleep(10);
  expect(condition()).toBe(true);
};

test("what the node says is written once, and again when it differs or was deleted", async () => {
  await withStore(async (store, advertiser) => {
    advertiser.set(lease(mine, "192.168.1.11"));
    await until(() => advertiser.published);
    const first = await store.get(NODES, "node1");
    advertiser.set(lease(mine, "192.168.1.11"));
    advertiser.recheck();
    await until(() => advertiser.published);
    expect((await store.get(NODES, "node1"))?.revision).toBe(first?.revision ?? ("" as never));

    advertiser.set(lease(mine, "192.168.1.12"));
    await until(() => advertiser.published);
    expect(decodeLease((await store.get(NODES, "node1"))?.value ?? new Uint8Array()).addresses).toEqual([
      "192.168.1.12" as Address,
    ]);

    await store.delete(NODES, "node1");
    advertiser.recheck();
    await until(() => advertiser.published);
    expect((await store.get(NODES, "node1"))?.expiresAt).toBeNumber();
  });
});

test("another machine of the same name is not overwritten; it is named, with what to do", async () => {
  await withStore(async (store, advertiser) => {
    await store.create(NODES, "node1", encodeLease(lease(others, "192.168.1.99")));
    advertiser.set(lease(mine, "192.168.1.11"));
    await until(() => advertiser.problems.length > 0);
    expect(advertiser.problems[0]?.message).toContain("another machine (192.168.1.99) has the node name node1");
    expect(advertiser.problems[0]?.remedy).toContain("--node-name");
    await store.delete(NODES, "node1");
    await until(() => advertiser.published && advertiser.problems.length === 0);
  });
});

test("a machine that was installed anew takes its old object over: it has the same address", async () => {
  await withStore(async (store, advertiser) => {
    await store.create(NODES, "node1", encodeLease(lease(others, "192.168.1.11")));
    advertiser.set(lease(mine, "192.168.1.11"));
    await until(() => advertiser.published);
    expect(decodeLease((await store.get(NODES, "node1"))?.value ?? new Uint8Array()).id).toBe(mine);
  });
});

test("what cannot be read is nobody's, and is written over", async () => {
  await withStore(async (store, advertiser) => {
    await store.create(NODES, "node1", new TextEncoder().encode("{"));
    advertiser.set(lease(mine, "192.168.1.11"));
    await until(() => advertiser.published);
  });
});
