import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCode } from "../../src/base/errors.ts";
import type { Conversion } from "../../src/intent/convert/finding.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { agentOptions } from "../agent/options.ts";
import { runCommand } from "./command.ts";
import { convertCommand } from "./convert-command.ts";

const flannel = (args: readonly string[], netConf = { Network: "10.244.0.0/16" } as object) => `
kind: ConfigMap
metadata: {name: kube-flannel-cfg}
data: {net-conf.json: ${JSON.stringify(JSON.stringify(netConf))}}
---
kind: DaemonSet
metadata: {name: kube-flannel-ds}
spec:
  template:
    spec:
      nodeSelector: {pool: a}
      tolerations: [{operator: Exists}]
      containers:
        - name: kube-flannel
          command: [/opt/bin/flanneld]
          args: ${JSON.stringify(["--kube-subnet-mgr", ...args])}
          colour: green
`;

async function twillConvert(manifest: string, ...words: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "twill-convert-"));
  const file = join(folder, "a, b.yaml");
  writeFileSync(file, manifest);
  let out = "";
  let error = "";
  const output = {
    out: (text: string) => {
      out += text;
    },
    error: (text: string) => {
      error += text;
    },
    columns: undefined,
    colour: false,
  };
  try {
    const root = { name: "twill", summary: "", subcommands: [convertCommand] };
    const status = await runCommand(root, ["convert", "-f", file, ...words], output);
    return { status, out, error };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the report, then both parts", async () => {
  const { status, out, error } = await twillConvert(flannel(["--ip-masq", "--iface=eth1"]));
  expect(status).toBe(0);
  expect(out).toContain(
    "UNKNOWN: not carried over\n  DaemonSet kube-flannel-ds: containers[kube-flannel].colour = green\n",
  );
  expect(out).toEndWith(
    'net-conf.json\n\n{"Network":"10.244.0.0/16"}\n\nFlags of twill-agent\n\n--ip-masq=true\n--iface=eth1\n',
  );
  // The manifest's DaemonSet has no place for it that we could fill.
  expect(error).toBe('add to Twill\'s DaemonSet by hand:\n  nodeSelector: {"pool":"a"}\n');
});

test("what is refused stops everything, in each format", async () => {
  const manifest = flannel(["--ip-masq"], { Network: "10.244.0.0/16", Backend: { Type: "wireguard" } });
  for (const format of ["net-conf", "flags", "configmaps", "values", "json"]) {
    const { status, out, error } = await twillConvert(manifest, "-o", format);
    expect([status, out]).toEqual([1, ""]);
    expect(error).toContain("refused: Backend.Type");
  }
  const report = await twillConvert(manifest);
  expect(report.status).toBe(1);
  expect(report.out).toContain("--accept Backend.Type: vxlan is used, unencrypted");
  expect(report.out).not.toContain("net-conf.json\n\n");
  const accepted = await twillConvert(manifest, "--accept", "Backend.Type", "-o", "net-conf");
  expect(accepted.status).toBe(0);
  expect(parseNetConf(accepted.out).backend.type).toBe("vxlan");
});

test("the agent takes the flags, on its command line and as variables", async () => {
  const args = [
    "--ip-masq=false",
    "--iface=eth1",
    "--iface=eth2",
    "--iface-regex=^eth[0-9]$",
    "--public-ip=192.0.2.1",
    "--v=9",
  ];
  const conversion = JSON.parse((await twillConvert(flannel(args), "-o", "json")).out) as Conversion;
  const wanted = { iface: ["eth1", "eth2"], ifaceRegex: ["^eth[0-9]$"], ipMasq: false, logLevel: "debug" };
  for (const options of [
    agentOptions(["--node-name=a", ...conversion.flags], {}),
    agentOptions(["--node-name=a"], conversion.environment),
  ]) {
    expect(options).toMatchObject(wanted);
    expect(options.publicIp as string).toBe("192.0.2.1");
  }
});

test("objects for kubectl and values for Helm are YAML that says the same", async () => {
  const manifest = flannel(["--ip-masq"]);
  const netConf = { Network: "10.244.0.0/16" };
  const [config, environment] = Bun.YAML.parse((await twillConvert(manifest, "-o", "configmaps")).out) as {
    data: Record<string, string>;
  }[];
  expect(JSON.parse(config?.data["net-conf.json"] ?? "")).toEqual(netConf);
  expect(environment?.data).toEqual({ TWILL_IP_MASQ: "true" });
  const values = Bun.YAML.parse((await twillConvert(manifest, "-o", "values")).out) as Record<string, unknown>;
  expect(JSON.parse(String(values.netConf))).toEqual(netConf);
  expect(values).toMatchObject({ environment: { TWILL_IP_MASQ: "true" }, tolerations: [{ operator: "Exists" }] });
});

test("a broken file is one error with its line", async () => {
  try {
    await twillConvert("a: 1\n\tb: 2\n");
    expect.unreachable();
  } catch (error) {
    expect(isCode(error, "invalid") && error.describe()).toMatch(/^read .*a, b\.yaml line 2, column 1: /);
  }
});
