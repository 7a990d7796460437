import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { FaultLab, until } from "./fault-lab.fixture.ts";

const good = { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } };
const hostGateway = { Network: "10.244.0.0/16", Backend: { Type: "host-gw" } };
const bad = '{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan", }\n';

/** Log, status and metrics of the agent say that the newest configuration is not in force, and pods are served. */
async function expectRefused(lab: FaultLab, node: string): Promise<void> {
  await until(async () => (await lab.status(node)).network?.rejected !== undefined, "the status says it");
  await until(async () => (await lab.status(node)).ready, "it is ready all the same");
  const { problems } = await lab.status(node);
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
  expect(await lab.brokenPaths()).toEqual([]);
  await lab.agent("node1", "kill");
  await lab.agent("node1", "start");
  await expectRefused(lab, "node1");
  await lab.call("addPod", { node: "node1", pod: "late" });
  expect(await lab.brokenPaths()).toEqual([]);
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
    expect(await lab.brokenPaths()).toEqual([]);
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

test("changed while pods run: they keep talking; a network that would take their addresses away is refused", async () => {
  const dual = { Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/56" };
  const first = { ...dual, Backend: { Type: "vxlan" } };
  await using lab = await FaultLab.up({ nodes: 2, subnets: 1, pods: 1, config: first });
  for (const config of [
    { ...dual, Backend: { Type: "vxlan", VNI: 7, Port: 4789 } },
    { ...dual, Backend: { Type: "host-gw" } },
    first,
  ]) {
    await lab.storeConfig(config);
    const backend = config.Backend.Type;
    await until(async () => (await lab.status("node1")).network?.backend === backend, `${backend} is in force`);
    expect(await lab.brokenPaths()).toEqual([]);
  }
  await lab.storeConfig({ ...first, Network: "10.99.0.0/16" });
  const said = async () => (await lab.status("node1")).problems.map(({ message }) => message).join();
  await until(async () => (await said()).includes("no range of the new configuration holds it"), "the refusal is said");
  expect(await lab.brokenPaths()).toEqual([]);
  await lab.storeConfig(first);
  await until(async () => (await said()) === "", "nothing is wrong any more");
  expect(await lab.brokenPaths()).toEqual([]);
}, 60_000);
