import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readElfFile } from "../../apps/install/elf-file.ts";
import { libraryClosure, systemLibraryFolders } from "../../apps/install/libraries.ts";
import { requireRunc } from "../../scripts/cluster/prepare.ts";
import { TestNetns } from "../support/netns.ts";
import { ContainerHost, podSpec } from "./container.fixture.ts";

setDefaultTimeout(60_000);

/** The manifest's securityContext and volumes are enough for what the containers do, and none of them is too much. */
const executable = join(process.env.TWILL_DIST ?? join(import.meta.dir, "../../dist"), "twill");
const node = mkdtempSync(join(tmpdir(), "twill-container-node-"));
const at = (path: string): string => {
  mkdirSync(join(node, path), { recursive: true });
  return join(node, path);
};
const spec = podSpec();
const agent = only(spec.containers);
const installer = only(spec.initContainers);
const capabilities = agent.securityContext.capabilities.add;
const without = (dropped: string): string[] => capabilities.filter((name) => name !== dropped);
let host: ContainerHost;

function only<T>(containers: readonly T[]): T {
  const [first] = containers;
  if (first === undefined || containers.length !== 1) throw new Error(`${containers.length} containers, not one`);
  return first;
}

beforeAll(() => {
  requireRunc();
  host = new ContainerHost(executable, {
    "host-root": at("root"),
    state: at("state"),
    run: at("run"),
    flannel: at("flannel"),
    "cni-conf": at("cni-conf"),
    netns: at("netns"),
    sysctl: "/proc/sys/net",
  });
});

afterAll(() => {
  host.close();
  rmSync(node, { recursive: true, force: true });
});

test("the init container installs the plugin with SYS_CHROOT alone, and not without", () => {
  const elf = readElfFile(executable);
  if (elf?.interpreter === undefined) throw new Error(`${executable} is no dynamic ELF file`);
  const libraries = libraryClosure(elf, systemLibraryFolders(elf.machine)).map(({ path }) => path);
  const root = at("root");
  for (const folder of ["etc", "lib", "var/lib", "run", "proc"]) at(`root/${folder}`);
  for (const path of [elf.interpreter, ...libraries]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  // A real node's root has /proc; here a mount namespace of the test's own puts it there.
  const run = (bundle: string) =>
    Bun.spawnSync(
      [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --rbind /proc "$1/proc" && exec runc run --bundle "$2" "$3"',
        "sh",
        root,
        bundle,
        `twill-install-${process.pid}`,
      ],
      { timeout: 50_000 },
    );
  const without = run(host.bundle(installer, [], []));
  expect(without.stderr.toString()).toContain("make root of /host");
  expect(existsSync(join(root, "opt/cni/bin/twill-cni"))).toBe(false);
  const installed = run(host.bundle(installer, []));
  expect(installed.stderr.toString()).toBe("");
  expect(installed.stdout.toString()).toContain("/opt/cni/bin/twill-cni: installed");
  expect(readFileSync(join(root, "opt/cni/bin/twill")).equals(readFileSync(executable))).toBe(true);
});

let containers = 0;
/** Runs the agent on a node of its own while `work` runs. */
async function withAgent(capabilities: readonly string[], work: (node: TestNetns) => Promise<void>): Promise<void> {
  const [netns, other] = [new TestNetns(), new TestNetns()];
  for (const folder of ["state", "run", "flannel", "cni-conf"]) {
    rmSync(join(node, folder), { recursive: true, force: true });
    at(folder);
  }
  netns.run(
    "ip",
    "link",
    "add",
    "eth0",
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    "netns",
    `/proc/${process.pid}/fd/${other.fd}`,
  );
  for (const [end, address] of [
    [netns, "192.0.2.1/24"],
    [other, "192.0.2.2/24"],
  ] as const) {
    end.run("ip", "address", "add", address, "dev", "eth0");
    end.up("eth0");
  }
  netns.run("ip", "route", "add", "default", "via", "192.0.2.2");
  const name = `twill-agent-${process.pid}-${containers++}`;
  // The datastore of the test is a file, and so is the network's configuration, for the container has no cluster.
  writeFileSync(join(at("state"), "net-conf.json"), '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}');
  const state = "/var/lib/twill";
  const flags = [
    `--datastore=embedded:${state}/store.db`,
    `--net-config-path=${state}/net-conf.json`,
    "--node-name=node1",
  ];
  const bundle = host.bundle(agent, flags, capabilities);
  const log = Bun.file(join(bundle, "log"));
  const runc = netns.enter(() =>
    Bun.spawn(["runc", "run", "--bundle", bundle, name], { stdin: "ignore", stdout: log, stderr: log }),
  );
  try {
    await work(netns);
  } catch (error) {
    throw new Error(`the agent said:\n${await log.text()}`, { cause: error });
  } finally {
    Bun.spawnSync(["runc", "kill", name, "KILL"]);
    await runc.exited;
    Bun.spawnSync(["runc", "delete", "--force", name]);
    netns.close();
    other.close();
  }
}

/** What the plugin answers, called as a container runtime on the node calls it. */
function cni(pod: TestNetns, command: "ADD" | "DEL") {
  const result = Bun.spawnSync([join(dirname(executable), "twill-cni")], {
    stdin: new TextEncoder().encode(
      JSON.stringify({ cniVersion: "1.1.0", name: "twill", type: "twill-cni", socket: join(node, "run/agent.sock") }),
    ),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "c1",
      CNI_NETNS: `/proc/${process.pid}/fd/${pod.fd}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/x",
    },
    timeout: 30_000,
  });
  return { exitCode: result.exitCode, text: result.stdout.toString() };
}

/** ADD as a kubelet would: again, until the agent is ready. */
async function add(pod: TestNetns) {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const answer = cni(pod, "ADD");
    const tryAgain = answer.exitCode !== 0 && (JSON.parse(answer.text) as { code: number }).code === 11;
    if (!tryAgain || performance.now() > deadline) return answer;
    await Bun.sleep(100);
  }
}

test("the agent connects pods with the manifest's capabilities, root read-only", async () => {
  await withAgent(capabilities, async (netns) => {
    const pod = new TestNetns();
    try {
      const added = await add(pod);
      expect(added.exitCode, added.text).toBe(0);
      const { ips } = JSON.parse(added.text) as { ips: { address: string }[] };
      netns.run("ping", "-c", "1", "-W", "2", ips[0]?.address.split("/")[0] ?? "");
      pod.run("ping", "-c", "1", "-W", "2", "192.0.2.2");
      expect(netns.run("nft", "list", "tables")).toContain("twill");
      expect(netns.rtnl.link("flannel.1")).toBeDefined();
      expect(cni(pod, "DEL").exitCode).toBe(0);
    } finally {
      pod.close();
    }
  });
});

test("without NET_RAW pods are connected all the same: insight.test.ts shows what it is for", async () => {
  expect(capabilities).toContain("NET_RAW");
  await withAgent(without("NET_RAW"), async () => {
    const pod = new TestNetns();
    try {
      expect((await add(pod)).exitCode).toBe(0);
    } finally {
      pod.close();
    }
  });
});

test.each(without("NET_RAW"))("it cannot without %s, and says so", async (dropped) => {
  const rest = without(dropped);
  await withAgent(rest, async (netns) => {
    const pod = new TestNetns();
    try {
      const deadline = performance.now() + 60_000;
      let readyz = "";
      while (!readyz.includes("503") && performance.now() < deadline) {
        readyz = netns.run("sh", "-c", "curl -sS -m20 -w '%{http_code}' http://127.0.0.1:9099/readyz || true");
        await Bun.sleep(100);
      }
      expect(readyz).toContain(`CAP_${dropped}, for`);
      const { exitCode, text } = cni(pod, "ADD");
      expect(exitCode).not.toBe(0);
      expect(text).toContain(`waiting for the capability CAP_${dropped}`);
    } finally {
      pod.close();
    }
  });
});
