import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { FaultLab, until } from "./fault-lab.fixture.ts";

const good = { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } };
const hostGateway = { Network: "10.244.0.0/16", Backend: { Type: "host-gw" } };
const bad = '{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan", }\n';

/** Log, status and metrics of the agent say that the newest configuration is not in force, and pods are served. */
async function expectRefused(lab: FaultLab, node: string): Promise<void> {
  await until(async () => (await lab.status(node)).network?.rejected !== undefined, "the status says it");
  const { ready, problems } = await lab.status(node);
  expect(ready).toBe(true);
  expect(problems.map(({ message }) => message).join()).toContain("the last good one stays in force");
  const { status, stdout } = await lab.attempt(node, "twill status");
  expect(status).toBe(1);
  expect(stdout).toContain("the last good one stays in force");
  expect((await lab.metric(node, "twill_configuration_valid")).get("")).toBe(0);
  expect(lab.log(node)).toMatch(/configuration.*(not valid|invalid)/);
}

async function expectFollowed(lab: FaultLab, node: string): Promise<void> {
  await until(async () => (await lab.status(node)).network?.rejected === undefined, "the status says it");
  await until(async () => (await lab.status(node)).network?.backend === "host-gw", "the new one is in force");
  expect((await lab.metric(node, "twill_configuration_valid")).get("")).toBe(1);
  await until(async () => (await lab.status(node)).problems.length === 0, "nothing is wrong any more");
}

test("a configuration in the datastore that became invalid: the last good one stays in force, over a restart too", async () => {
  await using lab = await FaultLab.up({ nodes: 2, subnets: 1, pods: 1, config: good });
  await lab.storeConfig(bad);
  await expectRefused(lab, "node1");
  expect(await lab.brokenPaths(0)).toEqual([]);
  await lab.agent("node1", "kill");
  await lab.agent("node1", "start");
  await expectRefused(lab, "node1");
  await lab.call("addPod", { node: "node1", pod: "late" });
  expect(await lab.brokenPaths(2)).toEqual([]);
  await lab.storeConfig(hostGateway);
  for (const node of ["node1", "node2"]) await expectFollowed(lab, node);
  expect(await lab.brokenPaths()).toEqual([]);
}, 60_000);

test("the same with --net-config-path: a file that became invalid, that is away, that is mended", async () => {
  // The lab's nodes see the host's files.
  const path = `/tmp/twill-net-conf-${process.pid}.json`;
  writeFileSync(path, JSON.stringify(good));
  try {
    await using lab = await FaultLab.up({
      ...{ nodes: 2, subnets: 1, pods: 1, config: good },
      agentFlags: [`--net-config-path=${path}`],
    });
    writeFileSync(path, bad);
    await expectRefused(lab, "node1");
    await lab.agent("node1", "kill");
    await lab.agent("node1", "start");
    await expectRefused(lab, "node1");
    expect(await lab.brokenPaths(2)).toEqual([]);
    await lab.on("node1", `rm ${path}`);
    await until(
      async () => ((await lab.status("node1")).network?.rejected ?? "").includes("gone"),
      "the file is missed",
    );
    expect((await lab.status("node1")).ready).toBe(true);
    writeFileSync(path, JSON.stringify(hostGateway));
    for (const node of ["node1", "node2"]) await expectFollowed(lab, node);
    expect(await lab.brokenPaths()).toEqual([]);
  } finally {
    await Bun.file(path)
      .delete()
      .catch(() => {});
  }
}, 60_000);
