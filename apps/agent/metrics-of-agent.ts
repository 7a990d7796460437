import type { Rtnl } from "../../src/kernel/rtnl.ts";
import type { PeerProber } from "../../src/rpc/peer/prober.ts";
import { version } from "../version.ts";
import type { Agent } from "./agent.ts";
import { byLabel, counter, gauge, type Metric } from "./metrics.ts";
import type { Pods } from "./pods.ts";

export function metricsOf(agent: Agent, pods: Pods, prober: PeerProber | undefined, rtnl: Rtnl): Metric[] {
  const addresses = pods.counts();
  const names = [...agent.leases.keys()];
  const reached = Object.fromEntries(names.map((name) => [name, prober?.reachability(name)]));
  const state = (name: string): number => ({ yes: 1, no: 0, unknown: Number.NaN })[reached[name]?.state ?? "unknown"];
  return [
    { ...gauge("twill_build_info", "Version of the running agent", 1), values: [{ labels: { version }, value: 1 }] },
    gauge("twill_ready", "1 when pods can be added", agent.waitingFor.length === 0 ? 1 : 0),
    gauge("twill_datastore_reachable", "1 when the datastore answers", agent.storeHealth.reachable ? 1 : 0),
    gauge(
      "twill_configuration_valid",
      "0 when the newest network configuration is invalid and the last good one stays in force",
      agent.source.rejected === undefined ? 1 : 0,
    ),
    gauge("twill_problems", "Problems that twill status shows", agent.problems.length),
    gauge("twill_nodes", "Nodes of the cluster as this agent knows it", names.length),
    gauge("twill_endpoints", "Interfaces of pods on this node", pods.endpoints().length),
    byLabel("gauge", "twill_pod_addresses", "Addresses of this node's subnets", "state", { ...addresses }),
    ...podAddressMetrics(agent),
    byLabel(
      "counter",
      "twill_kernel_writes_total",
      "Changes asked of the kernel for this node's state",
      "op",
      agent.dataplane.writes,
    ),
    byLabel("counter", "twill_netlink_dumps_total", "Times that kernel state was listed", "outcome", {
      done: rtnl.counters.dumps,
      repeated: rtnl.counters.retriedDumps,
    }),
    gauge(
      "twill_kernel_last_sync_seconds",
      "Wall-clock time at which the kernel was last as wanted",
      (agent.dataplane.lastSync ?? 0) / 1000,
    ),
    byLabel(
      "gauge",
      "twill_node_reachable",
      "1 when the node answers through the pod network",
      "node",
      Object.fromEntries(names.map((name) => [name, state(name)])),
    ),
    byLabel(
      "gauge",
      "twill_node_round_trip_seconds",
      "Median of the last probes",
      "node",
      Object.fromEntries(names.map((name) => [name, (reached[name]?.roundTrip ?? Number.NaN) / 1000])),
    ),
    ...(prober === undefined
      ? []
      : [byLabel("counter", "twill_probes_total", "Datagrams between agents", "outcome", { ...prober.counters })]),
    counter(
      "twill_process_cpu_seconds_total",
      "CPU time of the agent",
      process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
    ),
    gauge("twill_process_resident_memory_bytes", "Resident memory of the agent", process.memoryUsage.rss()),
  ];
}

/** The time from ADD to the API server's answer is seconds_total divided by the published ones. */
function podAddressMetrics({ kubernetes }: Agent): Metric[] {
  if (kubernetes === undefined) return [];
  const { counters, milliseconds, waiting } = kubernetes.pods;
  return [
    byLabel("counter", "twill_pod_annotations_total", "Addresses of new pods told to Kubernetes", "outcome", {
      ...counters,
    }),
    counter("twill_pod_annotation_seconds_total", "From ADD until Kubernetes knew the address", milliseconds / 1000),
    gauge("twill_pod_annotations_waiting", "Addresses of new pods still to be told", waiting),
  ];
}
