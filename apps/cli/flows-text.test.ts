import { expect, test } from "bun:test";
import { parseAddress } from "../../src/base/address.ts";
import type { Flow, FlowEnd } from "../../src/model/flow.ts";
import { timeBefore } from "./flows-command.ts";
import { flowJson, flowLine } from "./flows-text.ts";
import { paint } from "./status-text.ts";

const now = new Date(2026, 10, 21, 18, 0, 0).getTime();
const pod = (name: string, namespace = "shop"): FlowEnd => ({
  kind: "pod",
  address: parseAddress("10.1.0.2"),
  namespace,
  name,
  labels: {},
});
const policy = { kind: "NetworkPolicy", namespace: "shop", name: "db" } as const;
const guard = { kind: "ClusterNetworkPolicy", name: "guard" } as const;
const flow = (more: Partial<Flow> = {}): Flow => ({
  sequence: 1,
  since: now - 1000,
  until: now - 500,
  verdict: "deny",
  protocol: 6,
  source: pod("web-0"),
  destination: pod("db-0"),
  port: 5432,
  ingress: { by: "tier", tier: "default", isolatedBy: [policy] },
  count: 1,
  ...more,
});
const { port: _, ingress: __, ...bare } = flow();
const line = (more: Partial<Flow> | Flow, withNode = false) =>
  flowLine({ node: "n1", flow: "sequence" in more ? (more as Flow) : flow(more) }, now, paint(false), withNode);

test("a line for who reads it at night", () => {
  expect(line({})).toBe(
    "17:59:59.500 denied  shop/web-0 → shop/db-0:5432 TCP — ingress: no rule of NetworkPolicy shop/db\n",
  );
  expect(line({ count: 12 }, true)).toBe(
    "17:59:59.500 denied  n1: shop/web-0 → shop/db-0:5432 TCP (12 packets reported) — ingress: no rule of NetworkPolicy shop/db\n",
  );
  expect(line({ until: now - 86_400_000 })).toStartWith("2026-11-20 18:00:00.000 denied");
});

test("what allowed it, and what ended", () => {
  const allowed = flow({
    verdict: "allow",
    egress: { by: "no-policy" },
    ingress: { by: "rule", policy, rule: 1, tier: "default" },
    count: 3,
    service: { address: parseAddress("10.96.0.10"), port: 80 },
  });
  expect(line(allowed)).toContain(
    "allowed shop/web-0 → shop/db-0:5432 TCP, sent to 10.96.0.10:80 (3 connections) — ingress: NetworkPolicy shop/db rule 2\n",
  );
  const both = flow({ verdict: "allow", egress: { by: "rule", policy: guard, rule: 0, tier: "kube-admin" } });
  expect(line(both)).toContain(
    "— egress: ClusterNetworkPolicy guard rule 1 in tier kube-admin; ingress: no rule of NetworkPolicy shop/db",
  );
  const ended = flow({
    verdict: "allow",
    ingress: { by: "no-policy" },
    count: 0,
    ended: { connections: 2, packets: 11, bytes: 123_456, seconds: 3.21 },
  });
  expect(line(ended)).toContain(
    "ended   shop/web-0 → shop/db-0:5432 TCP (2 ended: 123.5 kB in 11 packets, 3.2 s) — no policy",
  );
});

test("ends and protocols of every kind", () => {
  const six: FlowEnd = { kind: "address", address: parseAddress("2001:db8::7") };
  expect(line({ destination: six })).toContain("→ [2001:db8::7]:5432 TCP");
  expect(line({ ...bare, source: { kind: "many" }, ports: 4000 })).toContain(
    "many → shop/db-0 (4000 ports) TCP — no policy",
  );
  expect(line({ ...bare, protocol: 1, icmp: { type: 8, code: 0 } })).toContain("→ shop/db-0 ICMP type 8");
  expect(line({ ...bare, protocol: 47, obstacle: "spoofed" })).toContain(
    "→ shop/db-0 protocol 47 — the address is not the pod's own",
  );
  const node: FlowEnd = { kind: "node", name: "n2", address: parseAddress("192.0.2.2") };
  expect(line({ source: node })).toContain(" node/n2 → ");
});

test("names from elsewhere do nothing to the terminal", () => {
  expect(line({ source: pod("\u001b[2Jx") })).toContain("shop/?[2Jx →");
});

test("JSON: a line, with the time and the node", () => {
  const text = flowJson({ node: "n1", flow: flow() });
  expect(text.trimEnd()).not.toContain("\n");
  expect(JSON.parse(text)).toMatchObject({ time: new Date(now - 500).toISOString(), node: "n1", port: 5432 });
});

test("times, as people write them", () => {
  expect(timeBefore("90s", now, "--since")).toBe(now - 90_000);
  expect(timeBefore("1.5h", now, "--since")).toBe(now - 5_400_000);
  expect(timeBefore("7d", now, "--since")).toBe(now - 7 * 86_400_000);
  expect(timeBefore("2026-11-21T18:00:00Z", now, "--since")).toBe(Date.UTC(2026, 10, 21, 18));
  expect(() => timeBefore("yesterday", now, "--since")).toThrow('--since: "yesterday" is neither');
});
