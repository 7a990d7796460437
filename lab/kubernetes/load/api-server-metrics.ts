import type { ControlPlane } from "../control-plane.ts";

/** Counters of a kube-apiserver at one moment (its /metrics). */
export interface ApiServerMetrics {
  /** When it was asked, milliseconds of performance.now(). */
  readonly at: number;
  /** Requests answered, watches when they end. */
  readonly requests: number;
  /** Watches of Nodes now. */
  readonly watches: number;
  /** Of Pods. */
  readonly podWatches: number;
  /** Events told to all watchers of Nodes, and their bytes as JSON, without framing and TLS. */
  readonly events: number;
  readonly eventBytes: number;
  /** Processor time since its start, seconds. */
  readonly processor: number;
  /** Resident now, bytes. */
  readonly memory: number;
}

export async function apiServerMetrics(plane: ControlPlane): Promise<ApiServerMetrics> {
  const at = performance.now();
  const text = await plane.get("/metrics");
  return {
    at,
    requests: sum(text, "apiserver_request_total", { resource: "nodes" }),
    watches: sum(text, "apiserver_longrunning_requests", { resource: "nodes", verb: "WATCH" }),
    podWatches: sum(text, "apiserver_longrunning_requests", { resource: "pods", verb: "WATCH" }),
    events: sum(text, "apiserver_watch_events_sizes_count", { resource: "nodes" }),
    eventBytes: sum(text, "apiserver_watch_events_sizes_sum", { resource: "nodes" }),
    processor: sum(text, "process_cpu_seconds_total", {}),
    memory: sum(text, "process_resident_memory_bytes", {}),
  };
}

/** Of all series of that name that bear these labels. */
function sum(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let total = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
      total += Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return total;
}
