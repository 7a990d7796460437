import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Diagnosis } from "../../apps/cli/doctor-command.ts";
import type { Trace } from "../../src/insight/trace.ts";
import { type PodObject, type TestCluster, until } from "./cluster.fixture.ts";
import { life } from "./life.fixture.ts";
import { namespaceOf, removeStayingPods, stayingPods } from "./traffic.fixture.ts";

/** `twill doctor`, `trace`, `capture` and `bundle` on a real Kubernetes cluster: agents in containers, pods of containerd. */

interface Stage {
  readonly cluster: TestCluster;
  /** One of the two pods that stay on that node. */
  pod(node: string, name?: "stay-a" | "stay-b"): PodObject;
  /** `twill …` on a node, as an administrator there runs it. */
  twill(node: string, ...words: string[]): Promise<{ status: number | null; stdout: string; stderr: string }>;
  /** `kubectl exec` of it in the container of the node's agent. */
  inAgent(node: string, ...words: string[]): Promise<{ status: number | null; stdout: string; stderr: string }>;
}

function scene(name: string, play: (stage: Stage) => Promise<void>): void {
  life(name, async (cluster) => {
    const pods = await stayingPods(cluster);
    const agents = await cluster.pods("-n", "twill-system");
    const agentOn = (node: string) => agents.find(({ spec }) => spec.nodeName === node)?.metadata.name ?? "";
    try {
      await play({
        cluster,
        pod: (node, prefix = "stay-a") => {
          const found = pods.find(({ metadata, spec }) => spec.nodeName === node && metadata.name.startsWith(prefix));
          if (found === undefined) throw new Error(`no ${prefix} on ${node}`);
          return found;
        },
        twill: (node, ...words) => cluster.run("exec", node, "--", "twill", ...words),
        inAgent: (node, ...words) => {
          const exec = ["kubectl", "-n", "twill-system", "exec", agentOn(node), "-c", "agent", "--", "twill", ...words];
          return cluster.run("exec", "control", "--", ...exec);
        },
      });
    } finally {
      await removeStayingPods(cluster);
    }
  });
}

const addressOf = ({ status }: PodObject): string => status.podIP ?? "";
const idOf = ({ metadata }: PodObject): string => `${metadata.namespace}/${metadata.name}`;
const findings = (text: string): string[] =>
  (JSON.parse(text) as Diagnosis).findings.map(({ node, id }) => `${node} ${id}`).sort();

scene(
  "the doctor finds nothing on a healthy cluster, and a foreign firewall by name, from the node and from the agent",
  async (stage) => {
    const { cluster, twill, inAgent } = stage;
    for (const ask of [twill, inAgent]) {
      const healthy = await ask("node1", "doctor", "--all", "-o", "json");
      expect([healthy.stderr, findings(healthy.stdout || "{}")]).toEqual(["", []]);
    }
    const rules =
      'nft add table inet corp; nft "add chain inet corp f { type filter hook forward priority 10; }"; nft add rule inet corp f ip protocol icmp drop';
    await cluster.on("node3", "sh", "-c", rules);
    try {
      const sick = await twill("node1", "doctor", "--all", "-o", "json");
      expect(findings(sick.stdout)).toEqual(["node3 firewall"]);
      expect(sick.stdout).toContain("inet corp f: rule");
    } finally {
      await cluster.on("node3", "nft", "delete", "table", "inet", "corp");
    }
  },
);

scene(
  "a trace: every hop by the state and by a probe, from the node and from the agent; with the reason where it ends",
  async (stage) => {
    const { cluster, pod, twill, inAgent } = stage;
    const [from, to] = [pod("node1"), pod("node3")];
    for (const ask of [twill, inAgent]) {
      const { stdout, stderr } = await ask("node1", "trace", idOf(from), idOf(to), "-o", "json");
      expect(stderr).toBe("");
      const trace = JSON.parse(stdout) as Trace;
      expect([trace.ok, trace.answer, trace.differences]).toEqual([true, trace.answer, []]);
      const places = trace.request.flatMap(({ node, watch }) => (watch === undefined ? [] : [node]));
      expect(new Set(places)).toEqual(new Set(["node1", "node3"]));
      // Seen wherever the state says that it comes by, on both nodes.
      expect(trace.sightings.length).toBeGreaterThanOrEqual(places.length);
    }
    await cluster.on("node3", "ip", "route", "add", "prohibit", `${addressOf(from)}/32`);
    try {
      const { status, stdout } = await twill("node1", "trace", idOf(from), idOf(to));
      expect(status).toBe(1);
      expect(stdout).toContain("prohibit");
    } finally {
      await cluster.on("node3", "ip", "route", "del", "prohibit", `${addressOf(from)}/32`);
    }
  },
);

scene("a capture: one packet over both nodes, as a story and as a file that tcpdump reads", async (stage) => {
  const { cluster, pod, twill } = stage;
  const [from, to] = [pod("node1"), pod("node3")];
  const file = join(cluster.directory, "capture.pcapng");
  const netns = await namespaceOf(cluster, "node1", addressOf(from));
  const capturing = twill(
    "node1",
    "capture",
    idOf(from),
    "--to",
    idOf(to),
    "-w",
    file,
    "--seconds",
    "12",
    "--",
    "icmp",
  );
  const pings = cluster.on("node1", "ip", "netns", "exec", netns, "ping", "-c", "30", "-i", "0.4", addressOf(to));
  const [{ status, stdout, stderr }] = await Promise.all([capturing, pings]);
  expect([status, stderr]).toEqual([0, expect.stringContaining("on 2 nodes")]);
  expect(stdout).toContain("ICMP echo request");
  for (const place of [`node1 ${idOf(from)} eth0`, `node3 ${idOf(to)} eth0`]) {
    expect(stdout).toContain(place);
    expect(readFileSync(file, "latin1")).toContain(place);
  }
});

scene("a bundle of all nodes, taken from the agent's container: everything but secrets", async (stage) => {
  const { cluster } = stage;
  const planted = { password: "hunter2hunter2", bearer: "abcdefghijklmnop" };
  const before = await cluster.kubectl(
    "-n",
    "twill-system",
    "get",
    "configmap",
    "twill-config",
    "-o",
    "jsonpath={.data.net-conf\\.json}",
  );
  const store = (text: string) =>
    cluster.kubectl(
      "-n",
      "twill-system",
      "patch",
      "configmap",
      "twill-config",
      "--type=merge",
      "-p",
      JSON.stringify({ data: { "net-conf.json": text } }),
    );
  const folder = join(cluster.directory, "bundle");
  try {
    await store(
      JSON.stringify({
        ...JSON.parse(before),
        Password: planted.password,
        Comment: `Authorization: Bearer ${planted.bearer}`,
      }),
    );
    await until("the agent has seen it", async () =>
      (await stage.twill("node1", "status")).stdout.includes("Password"),
    );
    const script = `kubectl -n twill-system exec ds/twill-agent -c agent -- twill bundle -f - > ${folder}.tar.gz`;
    await cluster.on("control", "sh", "-c", script);
  } finally {
    await store(before);
  }
  mkdirSync(folder, { recursive: true });
  await cluster.on("control", "tar", "xzf", `${folder}.tar.gz`, "--strip-components=1", "-C", folder);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.\w+$/.test(name));
  for (const node of cluster.nodes)
    for (const name of ["agent/log.txt", "agent/status.json", "kernel/routes.json", "pods.json"])
      expect(files).toContain(`nodes/${node}/${name}`);
  const whole = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const tokens = (
    await cluster.on("node1", "sh", "-c", "cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token")
  ).match(/eyJ[\w.-]+/g);
  expect(tokens?.length).toBeGreaterThan(0);
  for (const secret of [...Object.values(planted), ...(tokens ?? [])]) expect(whole.includes(secret)).toBe(false);
  expect(whole).toContain("[removed]");
});
