import { expect, onTestFinished, test } from "bun:test";
import { HealthCheckServers } from "./health-check-server.ts";

test("a port says how many endpoints there are, as they come and go, and closes with its Service", async () => {
  const servers = new HealthCheckServers();
  onTestFinished(() => servers.stop());
  const free = Bun.serve({ port: 0, hostname: "::", fetch: () => new Response() });
  const { port = 0 } = free;
  const check = (localEndpoints: number) => new Map([[port, { service: "shop/web", localEndpoints }]]);
  servers.serve(check(1));
  expect(servers.problems.map(({ subject, reason }) => [subject, reason])).toEqual([
    ["Service shop/web", "HealthCheckPortInUse"],
  ]);
  await free.stop(true);
  servers.serve(check(2));
  expect(servers.problems).toEqual([]);
  const ask = () => fetch(`http://127.0.0.1:${port}/`);
  const some = await ask();
  expect(some.status).toBe(200);
  expect(some.headers.get("X-Load-Balancing-Endpoint-Weight")).toBe("2");
  expect(await some.json()).toEqual({
    service: { namespace: "shop", name: "web" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  servers.serve(check(0));
  expect((await ask()).status).toBe(503);
  servers.stop();
  await expect(ask()).rejects.toThrow();
});
