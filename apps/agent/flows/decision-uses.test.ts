import { expect, test } from "bun:test";
import { FakeClock } from "../../../src/base/clock.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import type { NftElement } from "../../../src/objects/nft.ts";
import { hostData } from "../../../src/objects/nft-data.ts";
import { formatMetrics } from "../metrics.ts";
import { DecisionUses } from "./decision-uses.ts";
import type { FlowCounters } from "./flow-log.ts";
import { metricsOfFlows } from "./metrics-of-flows.ts";

const policy = (name: string) => ({ kind: "NetworkPolicy", namespace: "shop", name }) as const;
const rule = (name: string, rule: number): Decision => ({
  direction: "ingress",
  verdict: "allow",
  log: false,
  reason: { by: "rule", policy: policy(name), rule },
});
const denied: Decision = {
  direction: "ingress",
  verdict: "deny",
  log: false,
  reason: { by: "tier", tier: "default", isolatedBy: [policy("web")] },
};

function scene(decisions: Readonly<Record<number, Decision>>) {
  const clock = new FakeClock(1_000_000);
  const kernel = new Map<number, readonly [bigint, bigint]>();
  let reads = 0;
  const elements = (): NftElement[] => {
    reads++;
    return [...kernel].map(([number, [packets, bytes]]) => ({
      key: hostData(number),
      data: { verdict: "return" },
      packets,
      bytes,
    }));
  };
  const hits = new Map<number, number>();
  const uses = new DecisionUses({
    nft: { elements },
    decision: (number) => decisions[number],
    lastHit: (number) => hits.get(number),
    clock,
  });
  return { clock, kernel, uses, hits, reads: () => reads };
}

test("the kernel's counters by decision, with the last hit as counters or events tell it", async () => {
  const { clock, kernel, uses, hits, reads } = scene({ 1: rule("web", 0), 2: denied });
  kernel.set(1, [5n, 500n]).set(2, [0n, 0n]).set(3, [9n, 9n]);
  expect(uses.all()).toEqual([
    { number: 1, decision: rule("web", 0), packets: 5, bytes: 500 },
    { number: 2, decision: denied, packets: 0, bytes: 0 },
  ]);
  kernel.set(2, [1n, 60n]);
  expect(uses.all()[1]?.packets).toBe(0);
  await clock.advance(10_000);
  expect(uses.all()[1]).toMatchObject({ packets: 1, bytes: 60, lastHit: 1_010_000 });
  hits.set(2, 1_020_000);
  expect([uses.all()[1]?.lastHit, reads()]).toEqual([1_020_000, 2]);
  // A decision that was taken away, and made anew.
  kernel.delete(2);
  await clock.advance(10_000);
  expect(uses.all().map(({ number }) => number)).toEqual([1]);
});

test("sums never go down: not when a decision goes, nor when it begins at 0 again", async () => {
  const { clock, kernel, uses } = scene({ 1: rule("web", 0), 2: rule("web", 1), 3: denied });
  const totals = () => uses.totals().map(({ policy: who, verdict, packets }) => [who, verdict, packets]);
  kernel.set(1, [5n, 50n]).set(2, [1n, 10n]).set(3, [2n, 20n]);
  const first = [
    ["NetworkPolicy shop/web", "allow", 6],
    ["default of tier default", "deny", 2],
  ];
  expect(totals()).toEqual(first as never);
  kernel.delete(1);
  kernel.set(3, [1n, 10n]);
  await clock.advance(60_000);
  expect(totals()).toEqual([first[0], ["default of tier default", "deny", 3]] as never);
  kernel.set(1, [4n, 40n]);
  await clock.advance(60_000);
  expect(totals()[0]).toEqual(["NetworkPolicy shop/web", "allow", 10]);
});

test("metrics: a bounded number of policies, the rest summed up, whatever a policy's name is", () => {
  const decisions = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [n + 1, rule(`p${n}`, 0)]));
  const { kernel, uses } = scene(decisions);
  for (let n = 1; n <= 1000; n++) kernel.set(n, [BigInt(n), BigInt(n * 100)]);
  const flows: FlowCounters = {
    seen: { allow: { egress: 1, ingress: 2, none: 3 }, deny: { egress: 4, ingress: 5, none: 6 } },
    lost: { connections: 7, denied: 8 },
    dropped: { window: 9, disk: 10 },
    open: 11,
    forgotten: 12,
    kept: { bytes: 13, files: 14 },
  };
  const lines = formatMetrics(metricsOfFlows(flows, uses.totals())).trim().split("\n");
  expect(lines).toContain('twill_policy_packets_total{direction="ingress",verdict="allow"} 500500');
  expect(lines).toContain('twill_policy_bytes_total{direction="ingress",verdict="allow"} 50050000');
  const decided = lines.filter((line) => line.startsWith("twill_policy_decided_packets_total{"));
  expect(decided.length).toBe(201);
  expect(decided).toContain(
    'twill_policy_decided_packets_total{direction="ingress",verdict="allow",policy="NetworkPolicy shop/p999"} 1000',
  );
  expect(decided.at(-1)).toBe(
    `twill_policy_decided_packets_total{direction="ingress",verdict="allow",policy="others"} ${(800 * 801) / 2}`,
  );
  expect(lines).toContain('twill_flow_sightings_total{verdict="deny",direction="none"} 6');
  expect(lines).toContain('twill_flow_events_lost_total{of="denied"} 8');
  expect(lines).toContain('twill_flows_dropped_total{where="disk"} 10');
  expect(lines).toContain("twill_flow_history_files 14");
  expect(metricsOfFlows(undefined, [])).toEqual([]);
});
