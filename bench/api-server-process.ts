import { join } from "node:path";
import { ControlPlane } from "../lab/kubernetes/control-plane.ts";
import { agentsKubeconfig } from "../lab/kubernetes/load/agents-user.ts";
import { type ApiServerMetrics, apiServerMetrics } from "../lab/kubernetes/load/api-server-metrics.ts";
import { mostInASecond, SimulatedAgents } from "../lab/kubernetes/load/simulated-agents.ts";
import { SimulatedNodes } from "../lab/kubernetes/load/simulated-nodes.ts";
import { SimulatedPods } from "../lab/kubernetes/load/simulated-pods.ts";
import { systemClock } from "../src/base/clock.ts";
import { systemRandom } from "../src/base/random.ts";
import { currentNetns } from "../src/kernel/netns.ts";
import { KubernetesClient } from "../src/store/kubernetes/client.ts";
import { readKubeconfig } from "../src/store/kubernetes/kubeconfig.ts";
import { NODES } from "../src/store/kubernetes/resource.ts";
import { AgentNode } from "./agent-node.ts";
import type { Line } from "./api-server.ts";
import { call, twillContestant } from "./cni-contestant.ts";
import { Namespace } from "./namespace.ts";
import { summarize } from "./statistics.ts";

/** `bun bench/api-server-process.ts PROGRAMS FOLDER SCALE`, in a network namespace without anything. */
const [, , programs = "", folder = "", share = "1"] = process.argv;
const scale = Number(share);
const agentCount = Math.ceil(1000 * scale);
const podCount = agentCount * 30;
const processes = 4;
/** How long rest is looked at, seconds. */
const window = 120;
/** Reports of pods in that time: each lives for about 100 minutes. */
const podChanges = Math.ceil((podCount / 100) * (window / 60));
const rested = 30_000;
const patience = 1_200_000;
const network = { Network: "10.0.0.0/8", SubnetLen: 24, Backend: { Type: "vxlan" } };

const tell = (line: Line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const progress = (text: string) => tell({ progress: `${agentCount} agents: ${text}` });
const row = (what: string, value: string, reached?: boolean) =>
  tell({ row: { what: `${agentCount} nodes: ${what}`, value, ...(reached === undefined ? {} : { reached }) } });

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

const netns = new Namespace(currentNetns());
netns.run("ip link set lo up");
const plane = await ControlPlane.start({ directory: join(folder, "control-plane"), say: progress });
const admin = plane.certificateKubeconfig("admin", plane.admin);
const api = new KubernetesClient(readKubeconfig(admin, systemClock), { clock: systemClock, random: systemRandom });
try {
  await measure();
} finally {
  await plane.stop();
}
process.exit(0);

async function measure(): Promise<void> {
  progress("registering nodes");
  const nodes = new SimulatedNodes(api, 1);
  await nodes.add(agentCount);
  const kubeconfig = await agentsKubeconfig(plane, api);
  const [node] = (await api.list(NODES)).items;
  row("a Node, as JSON", kilobytes(JSON.stringify(node).length));

  progress("starting agents");
  const agents = new SimulatedAgents(kubeconfig, agentCount, processes);
  try {
    await load(agents, nodes);
  } finally {
    await agents.stop();
  }
  await oneAgent(kubeconfig, nodes);
}

/** What many agents are to the API server. */
async function load(agents: SimulatedAgents, nodes: SimulatedNodes): Promise<void> {
  await timed("all agents start and list", agents, () => agents.synced === agentCount);
  const alone = await apiServerMetrics(plane);
  row("API server then, resident", mebibytes(alone.memory));

  const stop = new AbortController();
  const reporting = nodes.report(stop.signal);
  progress(`at rest, kubelets reporting, ${window} s`);
  await Bun.sleep(rested);
  const before = await apiServerMetrics(plane);
  await Bun.sleep(window * 1000);
  const after = await apiServerMetrics(plane);
  stop.abort();
  await reporting;
  atRest(before, after);

  progress("a node more");
  agents.forget();
  const asked = Date.now();
  await nodes.add(1);
  const name = nodes.names.at(-1);
  const heard = () =>
    agents.told.filter((told) => told.event === "put" && told.name === name).map(({ at }) => at - asked);
  await agents.until("all know the new node", () => heard().length === agentCount, patience);
  const { p50, maximum } = summarize(heard());
  row("a node more is known to half of the agents, to all, after", `${Math.round(p50)} ms, ${Math.round(maximum)} ms`);

  progress("restarting the API server");
  agents.forget();
  await plane.stopApiServer();
  await plane.startApiServer();
  const isBack = Date.now();
  await nodes.add(1);
  const last = nodes.names.at(-1);
  const told = () => agents.told.filter((each) => each.event === "put" && each.name === last).map(({ at }) => at);
  await agents.until("all are back", () => told().length === agentCount, patience);
  const lists = agents.told.filter(({ event }) => event === "list").map(({ at }) => at);
  row("after a restart of the API server all are current again after", seconds(Math.max(...told()) - isBack));
  row("lists then, the most in one second", `${lists.length}, ${mostInASecond(lists)}`);
}

async function timed(what: string, agents: SimulatedAgents, holds: () => boolean): Promise<void> {
  const [before, started] = [await apiServerMetrics(plane), performance.now()];
  await agents.until(what, holds, patience);
  const took = performance.now() - started;
  const spent = (await apiServerMetrics(plane)).processor - before.processor;
  row(what, `${seconds(took)}; ${spent.toFixed(0)} s of processor time of the API server`);
}

function atRest(before: ApiServerMetrics, after: ApiServerMetrics): void {
  const minutes = (after.at - before.at) / 60_000;
  const events = after.events - before.events;
  const reports = events / (after.watches || 1) / minutes;
  const requests = (after.requests - before.requests) / minutes;
  // The reports of the kubelets are requests themselves.
  const ours = Math.max(0, requests - reports) / agentCount;
  row("watches of Nodes", String(after.watches), after.watches <= agentCount + 2);
  row("at rest: requests a minute and agent", ours.toFixed(2), ours < 1);
  row("reports of kubelets a minute, each told to every agent", reports.toFixed(0));
  row("bytes of one such event", kilobytes((after.eventBytes - before.eventBytes) / Math.max(1, events)));
  const perAgent = (after.eventBytes - before.eventBytes) / (after.watches || 1) / minutes;
  row("bytes a minute and agent", kilobytes(perAgent));
  row(
    "API server's processor time",
    `${((after.processor - before.processor) / (minutes * 0.6)).toFixed(1)} % of a core`,
  );
  row("API server, resident", mebibytes(after.memory));
}

/** What such a cluster is to one agent: the real program. */
async function oneAgent(kubeconfig: string, nodes: SimulatedNodes): Promise<void> {
  progress("one real agent");
  const [name, podCIDR] = ["node-0", "10.0.0.0/24"];
  const spec = { podCIDR, podCIDRs: [podCIDR] };
  const metadata = { name };
  const real: { readonly metadata: typeof metadata; readonly spec: typeof spec } = { metadata, spec };
  await api.create(NODES, { name }, { apiVersion: "v1", kind: "Node", ...real });
  const status = { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] };
  await api.patch(NODES, { name, subresource: "status" }, { status }, "strategic");

  const agent = new AgentNode(programs, join(folder, "node"), network, `kubernetes:${kubeconfig}`, netns);
  const started = performance.now();
  await agent.start("--peer-port", "0");
  row("the agent starts: from the process to ready", seconds(performance.now() - started));
  row("… processor time of that", seconds(agent.processorInAll()));
  await Bun.sleep(rested * scale);
  row("… memory of its own then", mebibytes(agent.memory()));

  progress("30 pods of its own");
  const pods = Array.from({ length: 30 }, () => new Namespace());
  const contestant = twillContestant(programs, agent);
  for (const [index, pod] of pods.entries()) call(contestant, "ADD", [pod], `own-${index}`);

  progress(`${podCount} pods`);
  const simulated = new SimulatedPods(api);
  await simulated.add(podCount, nodes.names);
  progress(`a cluster of ${podCount} pods, ${window} s`);
  const stop = new AbortController();
  const reporting = nodes.report(stop.signal);
  const [busy, from] = [agent.processorInAll(), performance.now()];
  const bytes: number[] = [];
  for (let change = 0; change < podChanges; change++) {
    bytes.push(await simulated.change(change % simulated.count));
    await Bun.sleep(Math.max(0, from + (change + 1) * ((window * 1000) / podChanges) - performance.now()));
  }
  const share = (agent.processorInAll() - busy) / (performance.now() - from);
  const { podWatches } = await apiServerMetrics(plane);
  stop.abort();
  await reporting;
  const changing = Math.round((podChanges / window) * 60);
  row(
    `30 pods of its own, ${podCount} in the cluster, ${changing} changing a minute: the agent's memory`,
    mebibytes(agent.memory()),
  );
  row("… its processor time", `${(share * 100).toFixed(2)} % of a core`);
  row("a pod changes: its own node's request and answer", kilobytes(summarize(bytes).p50));
  // One watch is the API server's own, for its admission plugins.
  row("… watches of Pods by agents, and so bytes for other nodes", String(podWatches - 1), podWatches === 1);
  await agent.stop();
  for (const pod of pods) pod.close();
}
