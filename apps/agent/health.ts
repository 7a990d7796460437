import type { Log } from "../../src/base/log.ts";
import { formatMetrics, type Metric } from "./metrics.ts";

export interface HealthSources {
  /** Empty: ready. Else what is missing, one sentence each. */
  readonly notReady: () => readonly string[];
  /** Empty: alive. Else why this process should be restarted. */
  readonly unhealthy: () => readonly string[];
  readonly metrics: () => readonly Metric[];
}

export interface HealthServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** /healthz: restart me if this fails. /readyz: pods can be added. /metrics: Prometheus. 200 or 503, with the reasons as text. */
export function startHealthServer(hostname: string, port: number, sources: HealthSources, log: Log): HealthServer {
  const verdict = (reasons: readonly string[]): Response =>
    reasons.length === 0
      ? new Response("ok\n")
      : new Response(reasons.map((reason) => `${reason}\n`).join(""), { status: 503 });
  const server = Bun.serve({
    hostname,
    port,
    idleTimeout: 10,
    fetch(request) {
      if (request.method !== "GET" && request.method !== "HEAD") return new Response("only GET\n", { status: 405 });
      switch (new URL(request.url).pathname) {
        case "/healthz":
        case "/livez":
          return verdict(sources.unhealthy());
        case "/readyz":
          return verdict(sources.notReady());
        case "/metrics":
          return new Response(formatMetrics(sources.metrics()), {
            headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
          });
        default:
          return new Response("/healthz /readyz /metrics\n", { status: 404 });
      }
    },
    error(error) {
      log.error("health request failed", { error });
      return new Response("internal error\n", { status: 500 });
    },
  });
  return { port: server.port ?? port, stop: () => server.stop(true) };
}
