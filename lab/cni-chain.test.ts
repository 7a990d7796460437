import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isCode, TwillError } from "../src/base/errors.ts";
import { addToNetwork, type ConfigList, deleteFromNetwork, type RunPlugin, readConfigList } from "./cni-chain.ts";

const list: ConfigList = {
  cniVersion: "1.0.0",
  name: "twill",
  plugins: [{ type: "twill-cni" }, { type: "portmap", capabilities: { portMappings: true } }],
};
const container = { id: "c1", netns: "/run/netns/a", ifname: "eth0", args: { K8S_POD_NAME: "a" } };

/** A plugin that answers with its own name, and the calls as they came. */
function recorder(failing?: string, output = "") {
  const calls: { plugin: string; command: string; input: Record<string, unknown>; args: string }[] = [];
  const run: RunPlugin = async (plugin, environment, input) => {
    const parsed = JSON.parse(input) as Record<string, unknown>;
    calls.push({
      plugin,
      command: `${environment.CNI_COMMAND} ${environment.CNI_CONTAINERID} ${environment.CNI_NETNS} ${environment.CNI_IFNAME}`,
      input: parsed,
      args: environment.CNI_ARGS ?? "",
    });
    if (plugin === failing) return { status: 1, stdout: output, stderr: "some words" };
    return {
      status: 0,
      stdout: JSON.stringify({ cniVersion: "1.0.0", ips: [{ address: `of ${plugin}` }] }),
      stderr: "",
    };
  };
  return { calls, run };
}

test("ADD goes down the chain with each result handed on, DEL comes back up with the cached one", async () => {
  const { calls, run } = recorder();
  const result = await addToNetwork(list, container, run);
  expect(result.ips).toEqual([{ address: "of portmap" }]);
  await deleteFromNetwork(list, container, result, run);
  expect(calls.map(({ plugin, command }) => `${plugin} ${command}`)).toEqual([
    "twill-cni ADD c1 /run/netns/a eth0",
    "portmap ADD c1 /run/netns/a eth0",
    "portmap DEL c1 /run/netns/a eth0",
    "twill-cni DEL c1 /run/netns/a eth0",
  ]);
  expect(calls[0]?.input).toEqual({ type: "twill-cni", cniVersion: "1.0.0", name: "twill" });
  expect(calls[1]?.input.prevResult).toMatchObject({ ips: [{ address: "of twill-cni" }] });
  expect(calls[3]?.input.prevResult).toEqual(result);
  expect(calls[0]?.args).toBe("IgnoreUnknown=1;K8S_POD_NAME=a");
});

test("a plugin's error is told in its own words; 11 is try again; DEL calls the others all the same", async () => {
  const failed = async (output: string): Promise<unknown> =>
    addToNetwork(list, container, recorder("twill-cni", output).run).catch((caught: unknown) => caught);
  const later = await failed('{"code":11,"msg":"the agent is away"}');
  expect(isCode(later, "unavailable") && later.message).toBe("the agent is away, code 11");
  const crashed = await failed("");
  expect(crashed instanceof TwillError && crashed.describe()).toBe("CNI ADD twill-cni: some words");

  const { calls, run } = recorder("portmap");
  expect(await deleteFromNetwork(list, container, undefined, run).catch((caught: unknown) => caught)).toBeInstanceOf(
    TwillError,
  );
  expect(calls.map(({ plugin }) => plugin)).toEqual(["portmap", "twill-cni"]);
});

test("the first file by name counts, a single plugin's configuration too", () => {
  const folder = mkdtempSync("/tmp/twill-cni-conf-");
  try {
    expect(() => readConfigList(folder)).toThrow("no CNI configuration");
    writeFileSync(join(folder, "99-late.conflist"), "{}");
    writeFileSync(join(folder, "README"), "not a configuration");
    writeFileSync(join(folder, "10-one.conf"), JSON.stringify({ cniVersion: "1.0.0", name: "one", type: "bridge" }));
    expect(readConfigList(folder).plugins.map(({ type }) => type)).toEqual(["bridge"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
