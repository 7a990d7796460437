import { expect, test } from "bun:test";
import { spawnPlugin } from "./libcni.fixture.ts";
import { parsed, testNode, testPod } from "./test-node.fixture.ts";

test("200 pods added at once and deleted at once, by processes: no address twice, nothing left", async () => {
  const node = testNode();
  await node.start();
  const pods = Array.from({ length: 200 }, (_, index) => ({ id: `c${index}`, pod: testPod() }));
  const added = await Promise.all(pods.map(({ id, pod }) => spawnPlugin(node, "ADD", id, pod)));
  const addresses = added.flatMap((stdout) => parsed({ status: 0, stdout }).ips.map(({ address }) => address));
  expect(new Set(addresses).size).toBe(400);
  expect(node.report().endpoints).toHaveLength(200);
  for (const { pod } of [pods[0], pods[99], pods[199]].flatMap((one) => one ?? []))
    pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
  await Promise.all(pods.map(({ id, pod }) => spawnPlugin(node, "DEL", id, pod)));
  expect(node.report().endpoints).toEqual([]);
  expect(node.leftovers()).toEqual([]);
  expect(node.pending()).toBe(0);
  for (const { pod } of pods) expect(pod.rtnl.link("eth0")).toBeUndefined();
}, 120_000);

test("the same pod added by 20 processes at once has one address and one interface", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => spawnPlugin(node, "ADD", "c1", pod)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(node.report().endpoints).toHaveLength(1);
  await Promise.all(Array.from({ length: 20 }, () => spawnPlugin(node, "DEL", "c1", pod)));
  expect(node.leftovers()).toEqual([]);
}, 60_000);
