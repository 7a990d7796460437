import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import type { PairResult, Path } from "../../lab/probe/result.ts";
import { isRealRoot } from "../support/privilege.ts";
import { TestLab } from "./support.ts";

/** The whole: agents, plugin, kernel; what `npm run lab` shows, with every configuration that nodes can meet. */

interface Report {
  readonly works: number;
  readonly total: number;
  readonly paths: readonly {
    readonly from: string;
    readonly to: string;
    readonly family: 4 | 6;
    readonly relation: PairResult["relation"];
    readonly works: boolean;
    readonly faults: readonly string[];
    readonly path?: Path;
    readonly mtu?: number;
    readonly sourceSeen?: string;
  }[];
}

const vxlan = { Type: "vxlan" };
const ipv4 = { Network: "10.244.0.0/16" };
const ipv6 = { EnableIPv6: true, IPv6Network: "fd00:10:244::/48" };

async function up(lab: TestLab, config: object, ...flags: string[]): Promise<Report> {
  const file = `${lab.parent}/net-conf.json`;
  await Bun.write(file, JSON.stringify(config));
  const { status, stdout, stderr } = await lab.run("up", "--config", file, "--json", ...flags);
  rmSync(file);
  if (!stdout.startsWith("{")) throw new Error(`twill lab up ended with ${status}: ${stdout}${stderr}`);
  const report = JSON.parse(stdout) as Report;
  expect(report.paths.filter((path) => !path.works)).toEqual([]);
  expect(status).toBe(0);
  return report;
}

const check = async (lab: TestLab, settle = 10): Promise<Report> =>
  JSON.parse((await lab.run("check", "--json", "--settle", String(settle))).stdout) as Report;

const summary = ({ total, works }: Report) => ({ total, works });

/** Nodes 1 and 2 share a subnet, nodes 3 and 4 another. */
const lan = (name: string): number => (Number(name.slice(4, 5)) <= 2 ? 1 : 2);
const nodeOf = (name: string): string => name.split("/")[0] ?? "";

/** What the counters showed between pods, by how far they are apart. */
function pathsBetweenPods(report: Report): Record<string, Path[]> {
  const found = new Map<string, Set<Path>>();
  for (const { from, to, relation, path = "none" } of report.paths) {
    if (relation !== "pod-pod") continue;
    const distance = nodeOf(from) === nodeOf(to) ? "node" : lan(from) === lan(to) ? "subnet" : "router";
    found.set(distance, (found.get(distance) ?? new Set()).add(path));
  }
  return Object.fromEntries([...found].map(([key, paths]) => [key, [...paths]]));
}

const podMtus = (report: Report): unknown[] => [
  ...new Set(report.paths.filter(({ relation }) => relation === "pod-pod").map(({ mtu }) => mtu)),
];

test("the default: vxlan across subnets, direct within; pods come and go; nodes, agents and cables fail and return", async () => {
  await using lab = new TestLab();
  const report = await up(lab, { ...ipv4, Backend: { ...vxlan, DirectRouting: true } });
  expect(report.total).toBe(136);
  expect(pathsBetweenPods(report)).toEqual({ node: ["local"], subnet: ["direct"], router: ["vxlan"] });
  expect(podMtus(report)).toEqual([1450]);
  for (const path of report.paths)
    if (path.relation === "pod-outside") expect(path.sourceSeen).toMatch(/^192\.168\.[12]\.1[1-4]$/);

  const added = await lab.do("pod", "add", "node1/pod-z");
  expect(added).toMatch(/^node1\/pod-z 10\.244\./);
  expect(await lab.do("exec", "node1/pod-z", "--", "hostname")).toBe("pod-z\n");
  const again = await check(lab);
  expect(summary(again)).toEqual({ total: 136 + 26, works: 136 + 26 });
  await lab.do("pod", "del", "node1/pod-z");

  await lab.do("link", "down", "node2");
  expect((await check(lab, 0)).works).toBeLessThan(136);
  await lab.do("link", "up", "node2");
  expect(summary(await check(lab))).toEqual({ total: 136, works: 136 });

  await lab.do("agent", "kill", "node1");
  expect(summary(await check(lab))).toEqual({ total: 136, works: 136 });
  await lab.do("agent", "start", "node1");

  await lab.do("node", "stop", "node3");
  expect(summary(await check(lab))).toEqual({ total: 78, works: 78 });
  await lab.do("node", "start", "node3");
  await lab.do("pod", "add", "node3/pod-a");
  await lab.do("pod", "add", "node3/pod-b");
  expect(summary(await check(lab))).toEqual({ total: 136, works: 136 });

  const namespaces = lab.namespaces();
  await lab.do("down");
  expect(lab.traces(namespaces)).toEqual([]);
}, 480_000);

test("vxlan always: a tunnel within the subnet too", async () => {
  await using lab = new TestLab();
  const report = await up(lab, { ...ipv4, Backend: vxlan });
  expect(pathsBetweenPods(report)).toEqual({ node: ["local"], subnet: ["vxlan"], router: ["vxlan"] });
}, 240_000);

test("host-gw on one subnet: no tunnel, the underlay's whole MTU", async () => {
  await using lab = new TestLab();
  const report = await up(lab, { ...ipv4, Backend: { Type: "host-gw" } }, "--nodes", "2", "--subnets", "1");
  expect(pathsBetweenPods(report)).toEqual({ node: ["local"], subnet: ["direct"] });
  expect(podMtus(report)).toEqual([1500]);
}, 240_000);

test("dual stack: every path in both families", async () => {
  await using lab = new TestLab();
  const report = await up(lab, { ...ipv4, ...ipv6, Backend: { ...vxlan, DirectRouting: true } });
  expect(report.total).toBe(272);
  expect(pathsBetweenPods(report)).toEqual({ node: ["local"], subnet: ["direct"], router: ["vxlan"] });
}, 240_000);

test("IPv6 alone: 70 bytes for the tunnel", async () => {
  await using lab = new TestLab();
  const report = await up(lab, { EnableIPv4: false, ...ipv6, Backend: vxlan });
  expect(report.paths.every(({ family }) => family === 6)).toBe(true);
  expect(podMtus(report)).toEqual([1430]);
}, 240_000);

test("bridge attachment, jumbo underlay, a node more", async () => {
  await using lab = new TestLab();
  const flags = ["--agent-flag=--attachment=bridge", "--mtu", "9000", "--nodes", "3"];
  const report = await up(lab, { ...ipv4, Backend: vxlan }, ...flags);
  expect(podMtus(report)).toEqual([8950]);
  expect(await lab.do("node", "add")).toBe("node4\n");
  const grown = await check(lab);
  expect(grown.works).toBe(grown.total);
  expect(grown.total).toBe(136);
}, 240_000);

// Needs the machine's root, to become nobody; whoever runs the tests without root has shown it by running them.
test.if(isRealRoot())(
  "without root",
  async () => {
    await using lab = new TestLab(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    Bun.spawnSync(["chmod", "777", lab.parent]);
    const report = await up(lab, { ...ipv4, Backend: { ...vxlan, DirectRouting: true } });
    expect(pathsBetweenPods(report)).toEqual({ node: ["local"], subnet: ["direct"], router: ["vxlan"] });
  },
  120_000,
);
