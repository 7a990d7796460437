import { dirname } from "node:path";
import { openAttachKernel } from "../../src/attach/attach-kernel.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import { createLog, type RootLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openConntrack } from "../../src/kernel/conntrack-socket.ts";
import { openEthtool } from "../../src/kernel/ethtool.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import { ThreadPoller } from "../../src/kernel/poller.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import type { AgentStatus } from "../../src/model/status.ts";
import { serveRpc } from "../../src/rpc/server.ts";
import { allObservers, type NodeObserver } from "../../src/store/kubernetes/node-kind.ts";
import { lazyDatastore } from "../../src/store/open.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { agentSocket } from "../defaults.ts";
import { describeFlags } from "../flags.ts";
import { NODES } from "../kinds.ts";
import { revision, version } from "../version.ts";
import { Agent } from "./agent.ts";
import { agentClock } from "./agent-clock.ts";
import { Caches } from "./caches.ts";
import { makeFolders } from "./files.ts";
import { NodeFlows } from "./flows/node-flows.ts";
import { startHealthServer } from "./health.ts";
import { ClusterNodes } from "./kubernetes/cluster-nodes.ts";
import { KubernetesNode } from "./kubernetes/kubernetes-node.ts";
import { LogTail } from "./log-tail.ts";
import { type LookService, lookService } from "./look-service.ts";
import { metricsOf } from "./metrics-of-agent.ts";
import { NodeMemory } from "./node-file.ts";
import { type AgentOptions, agentFlags, agentOptions } from "./options.ts";
import { Peers } from "./peers.ts";
import { Pods } from "./pods.ts";
import { removeBridgeGuard } from "./policy/bridge-guard.ts";
import { NodePolicy } from "./policy/node-policy.ts";
import { routesOf, statusOf } from "./status.ts";

export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) return void process.stdout.write(help());
  if (argv.includes("--version")) return void process.stdout.write(`twill-agent ${version} (${revision})\n`);
  try {
    const options = agentOptions(argv, process.env);
    const tail = new LogTail();
    const write = (line: string) => {
      tail.add(line);
      process.stderr.write(`${line}\n`);
    };
    await run(options, createLog({ level: options.logLevel, format: options.logFormat, write }), tail);
  } catch (error) {
    // What had been started already would keep half an agent alive, which answers and does nothing.
    process.stderr.write(`twill-agent: ${describeError(error)}\n`, () => process.exit(1));
  }
}

/** Starts everything and returns; the event loop keeps the process until a signal stops it. */
async function run(options: AgentOptions, log: RootLog, tail: LogTail): Promise<void> {
  const clock = agentClock(process.env);
  const startedAt = clock.now();
  log.info("twill-agent starts", { version, revision, node: options.nodeName, datastore: options.datastore });
  makeFolders(options.stateDir, [
    { path: options.runDir, mode: 0o755 },
    { path: dirname(options.subnetFile), mode: 0o755 },
    { path: options.cniConfDir, mode: 0o755 },
  ]);

  const poller = new ThreadPoller();
  const parts: {
    agent?: Agent;
    pods?: Pods;
    peers?: Peers;
    looks?: LookService;
    status?: () => Promise<AgentStatus>;
  } = {};
  const started = <T>(part: T | undefined): T => {
    if (part === undefined)
      throw new TwillError("unavailable", "the agent is starting", { remedy: "try again in a moment" });
    return part;
  };
  const rtnl = openRtnl();
  // The socket comes first: its lock keeps a second agent from touching anything.
  const server = serveRpc(poller, {
    path: agentSocket(options.runDir),
    log,
    handlers: {
      cni: (call, { descriptors }) => started(parts.pods).cni(call, descriptors[0]),
      status: () => started(parts.status)(),
      endpoints: () => started(parts.pods).endpoints(),
      routes: () => routesOf(started(parts.agent), rtnl),
      look: (call) => started(parts.looks).look(call),
      logLevel: ({ level }) => {
        if (level !== undefined) log.setLevel(level);
        return { level: log.level() };
      },
    },
  });

  const memory = NodeMemory.open(options.stateDir, systemRandom, options.nodeName, options.datastore);
  const cluster = options.datastore.startsWith("kubernetes:") ? new ClusterNodes(options.nodeName) : undefined;
  const observers: NodeObserver[] = cluster === undefined ? [] : [cluster];
  const kinds = datastoreKinds(cluster && allObservers(observers));
  const store = lazyDatastore(options.datastore, { log, clock, create: !memory.knowsDatastore, kinds });
  const onChange = () => parts.agent?.refresh();
  const kubernetes = cluster && new KubernetesNode({ nodes: cluster, store, clock, log, onChange });
  const caches = new Caches({ stateDir: options.stateDir, clock, log, onKept: onChange });
  const nft = openNft();
  const policy =
    options.policy === "off"
      ? undefined
      : new NodePolicy({
          ...{ options, store, caches, rtnl, nft, openConntrack, clock, log, onChange },
          random: systemRandom,
          dataplane: () => parts.agent?.dataplane,
        });
  if (policy === undefined) removeBridgeGuard(nft, log);
  else observers.push(policy.nodes);
  const pods = new Pods({
    options,
    kernel: openAttachKernel(undefined, options.sysctlDir),
    clock,
    log,
    onChange,
    ...(kubernetes && { listener: kubernetes.pods }),
    ...(policy && { policy }),
  });
  const peers = new Peers({
    store,
    node: options.nodeName,
    port: options.peerPort,
    clock,
    random: systemRandom,
    log,
    onChange,
  });
  const flows = new NodeFlows({
    ...{ options, nft, poller, clock, log },
    attached: () => pods.places(),
    ...(policy && { policy }),
  });
  const agent = new Agent({
    options,
    memory,
    store,
    ...(kubernetes && { kubernetes }),
    rtnl,
    nft,
    ethtool: openEthtool(),
    poller,
    pods,
    peers,
    caches,
    ...(policy && { policy }),
    flows,
    clock,
    random: systemRandom,
    log,
  });
  const lastStatus = () => statusOf({ options, agent, pods, prober: () => peers.prober, startedAt, now: clock.now });
  const status = async () => {
    await agent.storeHealth.ask(() => store.get(NODES, options.nodeName));
    return lastStatus();
  };
  const looks = lookService(options, {
    ...{ agent, memory, pods, rtnl, store, clock, log, tail, flows },
    ...(policy && { policy }),
    random: systemRandom,
    status: lastStatus,
  });
  Object.assign(parts, { agent, pods, peers, looks, status });

  const health =
    options.healthzPort === 0
      ? undefined
      : startHealthServer(
          options.healthzIp,
          options.healthzPort,
          {
            notReady: () => agent.waitingFor,
            unhealthy: () => [],
            metrics: () => [...metricsOf(agent, pods, peers.prober, rtnl), ...flows.metrics()],
          },
          log,
        );

  const stop = async (signal: string) => {
    log.info("twill-agent stops; the kernel's state stays, and pods keep talking", { signal });
    await health?.stop();
    server.close();
    peers.stop();
    looks.stop();
    pods.stop();
    await agent.stop();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop(signal));
}

const help =
  (): string => `twill-agent: one per node. It claims the node's subnet, keeps devices, routes and rules as they should be,
and answers the CNI plugin.

Usage:
  twill-agent [flags]

Flags (names and defaults are flanneld's where flanneld has the flag):
${describeFlags(agentFlags, "TWILL")}FLANNELD_<FLAG> counts as well, where flanneld has the flag.

Example, on one machine:
  twill config set net-conf.json
  twill-agent --iface eth0
`;
