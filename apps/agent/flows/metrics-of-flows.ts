import { byLabel, counter, gauge, type Metric } from "../metrics.ts";
import type { PolicyTotals } from "./decision-uses.ts";
import type { FlowCounters } from "./flow-log.ts";

/** Policies that get a line each, the most taken ones; the rest is summed up. */
const mostPolicies = 200;
const others = "others";

/** docs/flows.md explains them. */
export function metricsOfFlows(flows: FlowCounters | undefined, totals: readonly PolicyTotals[]): Metric[] {
  return [...(flows === undefined ? [] : flowMetrics(flows)), ...(totals.length === 0 ? [] : policyMetrics(totals))];
}

function policyMetrics(totals: readonly PolicyTotals[]): Metric[] {
  const named = new Set<string>();
  for (const { policy } of totals) if (named.size < mostPolicies) named.add(policy);
  const policyOf = ({ policy }: PolicyTotals) => (named.has(policy) ? policy : others);
  const metric = (
    name: string,
    help: string,
    value: (total: PolicyTotals) => number,
    who?: (total: PolicyTotals) => string,
  ): Metric => {
    const sums = new Map<string, { labels: Record<string, string>; value: number }>();
    for (const total of totals) {
      const { direction, verdict } = total;
      const labels = { direction, verdict, ...(who === undefined ? {} : { policy: who(total) }) };
      const key = Object.values(labels).join("\n");
      const sum = sums.get(key) ?? { labels, value: 0 };
      sum.value += value(total);
      sums.set(key, sum);
    }
    return { name, help, type: "counter", values: [...sums.values()] };
  };
  return [
    metric(
      "twill_policy_packets_total",
      "First packets of connections, and all denied packets, that policy judged on this node",
      ({ packets }) => packets,
    ),
    metric("twill_policy_bytes_total", "Bytes of these packets", ({ bytes }) => bytes),
    metric(
      "twill_policy_decided_packets_total",
      `The same by who decided: the ${mostPolicies} most frequent and others`,
      ({ packets }) => packets,
      policyOf,
    ),
  ];
}

function flowMetrics({ seen, lost, dropped, open, forgotten, kept }: FlowCounters): Metric[] {
  return [
    {
      name: "twill_flow_sightings_total",
      help: "Connections and denied packets that were told to the agent",
      type: "counter",
      values: Object.entries(seen).flatMap(([verdict, directions]) =>
        Object.entries(directions).map(([direction, value]) => ({ labels: { verdict, direction }, value })),
      ),
    },
    byLabel(
      "counter",
      "twill_flow_events_lost_total",
      "Events that came faster than they are read, by what they were of",
      "of",
      { ...lost },
    ),
    byLabel("counter", "twill_flows_dropped_total", "What found no room: in its minute, or on the disk", "where", {
      ...dropped,
    }),
    gauge("twill_flow_connections_open", "Connections whose ends are waited for", open),
    counter("twill_flow_connections_forgotten_total", "Connections too many to wait for their ends", forgotten),
    gauge("twill_flow_history_bytes", "Bytes on the disk that flows take", kept.bytes),
    gauge("twill_flow_history_files", "Files that hold them", kept.files),
  ];
}
