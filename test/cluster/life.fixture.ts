import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestCluster, testCluster, until } from "./cluster.fixture.ts";
import { type Summary, Traffic } from "./traffic.fixture.ts";

/** Milliseconds. Given to each test: a default would hold in the first of the files only that import this. */
const patience = 900_000;

/** A pod's interface as an agent has it in its books (`twill get endpoints -o json`). */
export interface EndpointRow {
  readonly namespace: string;
  readonly pod: string;
  readonly addresses: readonly string[];
  readonly state: string;
}

/**
 * A test on the shared cluster. Afterwards the cluster must be as healthy as before, with no address leaked or doubled; if
 * anything is not so, what the person on call would want to see is printed.
 */
export function life(name: string, body: (cluster: TestCluster) => Promise<void>): void {
  const run = async () => {
    const cluster = await testCluster();
    const started = performance.now();
    try {
      await body(cluster);
      await cluster.awaitHealthy();
      await expectBooksMatch(cluster);
    } catch (error) {
      await report(cluster, name);
      throw error;
    }
    say(`${name}: ${Math.round((performance.now() - started) / 1000)} s`);
  };
  test(name, run, patience);
}

const say = (line: string) => process.stderr.write(`cluster: ${line}\n`);

/** Pods that stay on these nodes (default: all) talk while `work` goes on, and lose nothing. */
export async function whileTalking(
  cluster: TestCluster,
  work: () => Promise<unknown>,
  nodes: readonly string[] = cluster.nodes,
): Promise<Summary> {
  const traffic = await Traffic.start(cluster, nodes);
  try {
    await work();
  } catch (error) {
    traffic.kill();
    throw error;
  }
  const summary = await traffic.stop();
  say(`  ${summary.sent} packets, ${summary.lost} lost, slowest ${summary.slowestMs} ms`);
  expect(summary.faults).toEqual([]);
  return summary;
}

/** What each agent has in its books is what runs on its node: nothing leaked, no address twice, all within the subnet. */
export async function expectBooksMatch(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes) {
    let difference = "";
    await until(`the books of ${node} match what runs there`, async () => {
      difference = await differenceOn(cluster, node);
      return difference === "";
    }).catch((error) => {
      throw new Error(`${error.message}: ${difference}`);
    });
  }
  const all = (await podsWithAddress(cluster)).map(({ status }) => status.podIP);
  expect(all.length).toBe(new Set(all).size);
}

const podsWithAddress = async (cluster: TestCluster) =>
  (await cluster.pods("-A")).filter(
    ({ spec, status }) => spec.hostNetwork !== true && (status.phase === "Running" || status.phase === "Pending"),
  );

/** Empty: none. */
async function differenceOn(cluster: TestCluster, node: string): Promise<string> {
  const wanted = (await podsWithAddress(cluster))
    .filter(({ spec }) => spec.nodeName === node)
    .map(({ metadata, status }) => `${metadata.namespace}/${metadata.name} ${status.podIP}`)
    .sort();
  const endpoints: readonly EndpointRow[] = JSON.parse(
    await cluster.on(node, "twill", "get", "endpoints", "-o", "json"),
  );
  const booked = endpoints.map(({ namespace, pod, addresses }) => `${namespace}/${pod} ${addresses.join()}`).sort();
  const count = "ls /run/netns | wc -l; ip -o link | grep -c ' twl'; ip -o route show proto 85 | wc -l; true";
  const [namespaces, devices, routes] = (await cluster.on(node, "sh", "-c", count)).trim().split("\n").map(Number);
  const kernel = { namespaces, devices, routes };
  const expected = { namespaces: wanted.length, devices: wanted.length, routes: wanted.length };
  if (JSON.stringify(booked) === JSON.stringify(wanted) && JSON.stringify(kernel) === JSON.stringify(expected))
    return "";
  return `Kubernetes has [${wanted}], the agent [${booked}], the kernel ${JSON.stringify(kernel)}`;
}

const conditions =
  'jsonpath={range .items[*]}{.metadata.name}{range .status.conditions[*]}{"  "}{.type}={.status} {.message}{"\\n"}{end}{end}';

/** As much as fits a screen or two. */
async function report(cluster: TestCluster, name: string): Promise<void> {
  say(`--- what there is after "${name}" failed`);
  const show = async (title: string, ...command: string[]) => {
    const { stdout, stderr } = await cluster.run(...command);
    say(`--- ${title}\n${stdout}${stderr}`);
  };
  const kubectl = ["exec", "control", "--", "kubectl"];
  await show("nodes and pods", ...kubectl, "get", "nodes,pods", "-A", "-o", "wide");
  await show("conditions", ...kubectl, "get", "nodes", "-o", conditions);
  await show("events", ...kubectl, "get", "events", "-A", "--sort-by=.lastTimestamp");
  await show(
    "agents",
    ...kubectl,
    "-n",
    "twill-system",
    "logs",
    "--prefix",
    "--tail=40",
    "-l",
    "app.kubernetes.io/name=twill",
  );
  await show(
    "the agent before",
    ...kubectl,
    "-n",
    "twill-system",
    "logs",
    "--prefix",
    "--tail=15",
    "--previous",
    "daemonset/twill-agent",
  );
  for (const node of cluster.nodes) {
    await show(`status of ${node}`, "exec", node, "--", "twill", "status");
    await show(
      `kernel of ${node}`,
      "exec",
      node,
      "--",
      "sh",
      "-c",
      "ip -br addr; ip route; bridge fdb show | grep -v permanent.self",
    );
    const kubelet = readFileSync(join(cluster.directory, "nodes", node, "kubelet.log"), "utf8");
    say(`--- kubelet of ${node}\n${kubelet.slice(-12_000)}`);
  }
}
