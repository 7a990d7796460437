import { describeError } from "../../../src/base/errors.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { HealthCheck } from "../../../src/model/services-state.ts";

/**
 * What load balancers ask of this node, by `healthCheckNodePort`, one server a port: 200 with endpoints here, 503 without (k8s.io/kubernetes
 * pkg/proxy/healthcheck/service_health.go, whose answer this is).
 */
export class HealthCheckServers {
  readonly #servers = new Map<number, ReturnType<typeof Bun.serve>>();
  readonly #problems = new Map<number, Problem>();
  #checks: ReadonlyMap<number, HealthCheck> = new Map();

  /** Ports that could not be opened, for another program has them: tried again with the next `serve`. */
  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  /** From now on these. A live map may be given again. */
  serve(checks: ReadonlyMap<number, HealthCheck>): void {
    this.#checks = checks;
    for (const [port, server] of this.#servers) {
      if (checks.has(port)) continue;
      void server.stop(true);
      this.#servers.delete(port);
    }
    this.#problems.clear();
    for (const [port, { service }] of checks) if (!this.#servers.has(port)) this.#open(port, service);
  }

  #open(port: number, service: string): void {
    try {
      this.#servers.set(port, Bun.serve({ port, hostname: "::", fetch: () => answer(this.#checks.get(port)) }));
    } catch (error) {
      this.#problems.set(port, {
        severity: "warning",
        subject: `Service ${service}`,
        message: `its health check cannot be served on port ${port}: ${describeError(error)}`,
        remedy:
          "stop the program that uses the port (ss -ltnp), kube-proxy perhaps, or give the Service another healthCheckNodePort",
        reason: "HealthCheckPortInUse",
      });
    }
  }

  stop(): void {
    this.serve(new Map());
  }
}

function answer(check: HealthCheck | undefined): Response {
  const { service = "/", localEndpoints = 0 } = check ?? {};
  const [namespace, name] = service.split("/");
  return Response.json(
    { service: { namespace, name }, localEndpoints, serviceProxyHealthy: true },
    {
      status: localEndpoints > 0 ? 200 : 503,
      headers: { "X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": String(localEndpoints) },
    },
  );
}
