import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KUBERNETES_VERSION } from "../../lab/kubernetes/binaries.ts";
import { build } from "../../scripts/build.ts";
import { arm64Parts } from "../../scripts/image/arm64-parts.ts";
import { imageRoot } from "../../scripts/image/root.ts";
import { EM_AARCH64 } from "../../src/wire/elf.ts";
import { isReady, type TestCluster, testCluster, until } from "./cluster.fixture.ts";
import { builtProgram } from "./cnitool.fixture.ts";
import { idlePod } from "./multus.fixture.ts";
import { removeStayingPods } from "./traffic.fixture.ts";

setDefaultTimeout(300_000);

const deploy = join(import.meta.dir, "../../deploy");

describe("the chart and the kustomize base, rendered by helm and kubectl", () => {
  let home: string;
  let helm: string;
  let kubectl: string;

  beforeAll(async () => {
    home = mkdtempSync("/tmp/twill-helm-");
    helm = await builtProgram("helm");
    kubectl = await builtProgram("kubectl");
  }, 900_000);
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  function run(...command: string[]): string {
    const variables = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
      env: { ...process.env, ...variables },
      timeout: 100_000,
    });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stdout}${stderr}`);
    return stdout.toString();
  }

  const template = (...settings: string[]): string =>
    run(helm, "template", "twill", join(deploy, "helm/twill"), "--kube-version", KUBERNETES_VERSION, ...settings);

  interface Rendered {
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly namespace?: string };
    readonly data?: Readonly<Record<string, string>>;
  }

  /** In the order of their names, for renderers have orders of their own. */
  function objects(text: string): readonly Rendered[] {
    const documents = ([Bun.YAML.parse(text)].flat() as (Rendered | null)[]).filter((object) => object !== null);
    const place = ({ kind, metadata }: Rendered) => `${kind} ${metadata.namespace} ${metadata.name}`;
    return documents.sort((a, b) => (place(a) < place(b) ? -1 : 1));
  }

  const manifest = objects(readFileSync(join(deploy, "twill.yaml"), "utf8"));

  test("both give the objects of deploy/twill.yaml, and nothing else", () => {
    expect(manifest.length).toBeGreaterThan(8);
    expect(objects(template())).toEqual(manifest);
    expect(objects(run(kubectl, "kustomize", join(deploy, "kustomize")))).toEqual(manifest);
  });

  test("helm finds no fault in the chart, and refuses a cluster that is too old for it", () => {
    expect(run(helm, "lint", "--strict", join(deploy, "helm/twill"))).toContain("0 chart(s) failed");
    expect(() => template("--kube-version", "1.29.0")).toThrow("chart requires kubeVersion");
  });

  test("values arrive where they belong, and nothing else changes", () => {
    const settings = ["image=registry.example/twill:9", "environment.TWILL_CNI_CHAIN=portmap", "maxUnavailable=3"];
    const changed = objects(template(...settings.flatMap((setting) => ["--set", setting])));
    const lines = (rendered: readonly Rendered[]) => JSON.stringify(rendered, null, 1).split("\n");
    const before = new Set(lines(manifest));
    expect(lines(changed).flatMap((line) => (before.has(line) ? [] : [line.trim().replace(/,$/, "")]))).toEqual([
      '"TWILL_API_SERVER": ""',
      '"TWILL_CNI_CHAIN": "portmap"',
      '"maxUnavailable": 3',
      '"image": "registry.example/twill:9"',
      '"image": "registry.example/twill:9"',
    ]);
  });
});

test("the arm64 image holds programs and libraries of that machine only, the launcher among them", () => {
  const { runtime, sysroot } = arm64Parts();
  const folder = mkdtempSync("/tmp/twill-arm64-");
  try {
    build(folder, { target: "bun-linux-arm64", architecture: "arm64", runtime });
    const programs: string[] = [];
    for (const entry of imageRoot(join(folder, "twill"), sysroot)) {
      if (entry.type !== "file") continue;
      const header = Buffer.from(entry.content.subarray(0, 20));
      if (header.toString("latin1", 1, 4) !== "ELF") continue;
      expect([entry.path, header.readUInt16LE(18)]).toEqual([entry.path, EM_AARCH64]);
      programs.push(entry.path);
    }
    for (const path of ["usr/local/bin/twill", "usr/local/bin/twill-cni", "lib/ld-linux-aarch64.so.1"])
      expect(programs).toContain(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("taken off a cluster", () => {
  /** What of a node's kernel Twill could have touched; kubelet's own tables come a while after it. */
  const kernel = `
    ip -o -d link | sed 's/^[0-9]*: //; s/@if[0-9]*//' | sort; ip -o addr | awk '{ print $2, $3, $4 }' | sort
    ip route show table all; ip rule; ip -6 rule; ip neigh show nud permanent; tc qdisc show
    ip -6 route show table all | sort
    nft list tables | grep -Ev '^table ip6? (mangle|filter|nat)$'
    grep -r . /proc/sys/net 2>/dev/null | grep -v nf_conntrack_count | sort; true`;
  const folders = "/etc/cni /opt/cni /etc/NetworkManager /etc/systemd/network /var/lib/twill /run/twill /run/flannel";
  const node = "node3";
  let cluster: TestCluster;
  const look = async () => (await cluster.on(node, "sh", "-c", kernel)).split("\n");
  const manifest = () => join(cluster.directory, "kubernetes/twill.yaml");

  beforeAll(async () => {
    cluster = await testCluster();
  }, 900_000);

  afterAll(async () => {
    await cluster.kubectl("apply", "-f", manifest());
    await cluster.awaitHealthy();
  }, 600_000);

  test("kubectl delete -f and twill uninstall leave a node's kernel as it boots, and no file of ours", async () => {
    await removeStayingPods(cluster); // of the files before
    const pod = idlePod("passing-by", node, {});
    await cluster.apply(pod);
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/passing-by", "--timeout=180s");
    await cluster.remove(pod);
    expect((await look()).join("\n")).toContain("table inet twill");

    await cluster.kubectl("delete", "-f", manifest(), "--timeout=120s");
    await until("the agent has ended, and uninstalling is possible", async () => {
      const { status, stderr } = await cluster.run("exec", node, "--", "/opt/cni/bin/twill", "uninstall");
      if (status !== 0 && !stderr.includes("agent of this node is running")) throw new Error(stderr);
      return status === 0;
    });
    const after = await look();
    const files = (await cluster.on(node, "sh", "-c", `find ${folders} ! -type d 2>/dev/null; true`)).trim();
    expect(files.split("\n")).toEqual(["/run/twill/boot-id"]); // the lab's own
    expect((await cluster.run("exec", node, "--", "sh", "-c", "ls /run/twill")).stdout).toBe("boot-id\n");

    await cluster.lab("node", "stop", node);
    await cluster.lab("node", "start", node);
    expect(after).toEqual(await look());
    expect((await cluster.nodeObjects()).length).toBe(3);
    await until("kubelet says that there is no network", async () => {
      const found = (await cluster.nodeObjects()).find(({ metadata }) => metadata.name === node);
      return found !== undefined && !isReady(found);
    });
  });
});
