import { expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

test("a full disk under the agent's state: running pods do not notice, ADD says so, and nothing is doubled", async () => {
  await using lab = await FaultLab.up({ nodes: 2, subnets: 1, pods: 0, bare: false });
  // A small disk of the node's own, under the agent and the plugin.
  await lab.agent("node1", "stop");
  await lab.on(
    "node1",
    "cp -a /var/lib/twill /tmp/twill-state-$$; mount -t tmpfs -o size=1m tmpfs /var/lib/twill; cp -a /tmp/twill-state-$$/. /var/lib/twill; rm -r /tmp/twill-state-$$",
  );
  await lab.agent("node1", "start");
  await until(async () => (await lab.status("node1")).ready, "it is ready");
  for (const node of ["node1", "node2"]) await lab.call("addPod", { node, pod: "pod-a" });
  expect(await lab.brokenPaths()).toEqual([]);

  await lab.on("node1", "dd if=/dev/zero of=/var/lib/twill/filler bs=1k 2>/dev/null; df /var/lib/twill | grep -q 100%");
  const refusal = await lab.call("addPod", { node: "node1", pod: "late" }).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  console.log(`ADD on a full disk: ${refusal ?? "works"}`);
  if (refusal !== undefined) expect(refusal).toMatch(/disk|space|full/i);
  expect(await lab.brokenPaths()).toEqual([]);
  // A restart on the full disk, and a DEL.
  await lab.agent("node1", "kill");
  await lab.agent("node1", "start");
  await until(async () => (await lab.status("node1")).ready, "it is ready on a full disk");
  expect(await lab.brokenPaths()).toEqual([]);

  await lab.on("node1", "rm /var/lib/twill/filler");
  await lab.call("addPod", { node: "node1", pod: "after" });
  expect(await lab.brokenPaths()).toEqual([]);
  const pods = JSON.parse(await lab.on("node1", "twill get endpoints -o json")) as { addresses: string[] }[];
  const addresses = pods.flatMap((pod) => pod.addresses);
  expect(new Set(addresses).size).toBe(addresses.length);
  expect(addresses).toHaveLength(refusal === undefined ? 3 : 2);
  expect(await lab.on("node1", "ls /sys/class/net | grep -c twl")).toBe(`${addresses.length}\n`);
  await until(async () => (await lab.status("node1")).problems.length === 0, "nothing is wrong any more");
}, 240_000);
