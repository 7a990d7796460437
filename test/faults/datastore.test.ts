import { expect, test } from "bun:test";
import { renameSync } from "node:fs";
import { FaultLab, until } from "./fault-lab.fixture.ts";

test("the datastore is away: an agent starts and serves pods from what it remembers, and catches up when it is back", async () => {
  await using lab = await FaultLab.up({ nodes: 3, pods: 1 });
  const routes = () =>
    lab.on("node1", "ip route show proto 84; bridge fdb show dev flannel.1; ip neigh show nud permanent");
  const before = await routes();
  const [folder, away] = [`${lab.directory}/store`, `${lab.directory}/store-away`];
  renameSync(folder, away);
  await until(async () => !(await lab.status("node1")).datastore.reachable, "a running agent notices", 40_000);
  expect((await lab.metric("node1", "twill_datastore_reachable")).get("")).toBe(0);

  await lab.agent("node1", "kill");
  await lab.agent("node1", "start");
  await until(async () => (await lab.status("node1")).ready, "it is ready");
  const { datastore, subnets } = await lab.status("node1");
  expect(datastore.reachable).toBe(false);
  expect(datastore.reason).toBeDefined();
  expect(subnets).toHaveLength(1);
  await lab.call("addPod", { node: "node1", pod: "late" });
  expect(await lab.brokenPaths()).toEqual([]);
  expect(await routes()).toBe(before);
  expect(await lab.on("node1", "twill status; true")).toMatch(/datastore/);

  renameSync(away, folder);
  await until(async () => (await lab.status("node1")).datastore.reachable, "the agent sees that it is back", 40_000);
  const added = await lab.call("addNode", { pods: 1 });
  expect(await lab.brokenPaths()).toEqual([]);
  expect((await lab.status("node1")).nodes.map(({ name }) => name)).toContain(added.name);
  await until(async () => (await lab.status("node1")).problems.length === 0, "nothing is wrong any more");
  expect((await lab.kernelWrites("node1")) > 0).toBe(true);
}, 240_000);

test("a second agent on a node refuses; the log level changes at run time; the socket is root's only", async () => {
  await using lab = await FaultLab.up({ nodes: 1, subnets: 1, pods: 1 });
  const second = await lab.attempt(
    "node1",
    `timeout 5 twill-agent --datastore ${lab.datastore} --node-name node1 --iface eth0`,
  );
  expect(second.status).toBe(1);
  expect(second.stderr).toMatch(/another process serves this socket \(stop the other agent first/);
  expect((await lab.status("node1")).ready).toBe(true);

  expect(await lab.on("node1", "twill log-level")).toBe("info\n");
  await lab.on("node1", "twill log-level debug");
  await lab.on("node1", "ip route flush proto 84; ip link set flannel.1 down");
  await until(() => / DEBUG /.test(lab.log("node1")), "debug messages");
  await lab.on("node1", "twill log-level error");
  const length = lab.log("node1").length;
  await lab.on("node1", "ip link set flannel.1 down");
  await until(async () => (await lab.on("node1", "ip link show flannel.1")).includes(",UP"), "it heals");
  expect(lab.log("node1").length).toBe(length);
  expect(await lab.on("node1", "stat -c %a:%U /run/twill/agent.sock")).toBe("600:root\n");
  expect((await lab.attempt("node1", "setpriv --reuid 65534 --clear-groups twill status")).status).not.toBe(0);
}, 240_000);
