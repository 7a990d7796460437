import { expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { PolicyCompiler } from "../../../src/compile/policy/compiler.ts";
import { FakeConntrack } from "../../../src/kernel/fake-conntrack.ts";
import type { Policy, WorkloadEndpoint } from "../../../src/model/policy.ts";
import type { Connection } from "../../../src/objects/conntrack.ts";
import { DecisionSweep } from "./decision-sweep.ts";

const address = "10.0.0.1" as Address;

/** A pod under one policy that has another name, and so another reason, with each change. */
function scene() {
  const policies = new Map<string, Policy>();
  const web: WorkloadEndpoint = {
    ...{ namespace: "shop", pod: "web", node: "n1", labels: {}, addresses: [address], ports: [] },
  };
  const compiler = new PolicyCompiler(
    {
      namespaces: new Map([["shop", { name: "shop", labels: {} }]]),
      endpoints: new Map([["shop/web", web]]),
      nodes: new Map(),
      tiers: new Map([["default", { name: "default", order: 1, defaultAction: "deny" }]]),
      policies,
    },
    { node: "n1" },
  );
  const conntrack = new FakeConntrack();
  const clock = new FakeClock();
  let forgotten = 0;
  const sweep = new DecisionSweep({
    openConntrack: () => conntrack,
    numbers: () => compiler.decisionNumbers,
    onForgotten: () => forgotten++,
    clock,
    log: silentLog,
  });
  const put = (name: string): number => {
    const id = { kind: "NetworkPolicy", namespace: "shop", name } as const;
    policies.set("one", { id, tier: "default", order: 1, subject: {}, ingress: [], allowsOwnNode: false });
    compiler.update({ policies: new Set(["one"]) });
    sweep.changed();
    return [...compiler.state.verdicts.keys()][0] ?? 0;
  };
  return { compiler, conntrack, clock, sweep, put, forgotten: () => forgotten };
}

const bearing = (labels: readonly number[]): Connection => ({
  original: { source: address, destination: address, protocol: 6, sourcePort: 1, destinationPort: 2 },
  reply: { source: address, destination: address, protocol: 6, sourcePort: 2, destinationPort: 1 },
  status: 0,
  family: 4,
  labels,
});
/** Promises behind the clock's sleepers. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("thousands of changes leave few decisions behind, for one look at all connections a minute", async () => {
  const { compiler, conntrack, clock, sweep, put, forgotten } = scene();
  let most = 0;
  for (let minute = 0; minute < 20; minute++) {
    for (let each = 0; each < 200; each++) put(`p${minute}-${each}`);
    most = Math.max(most, compiler.decisionNumbers.decisions.size);
    await clock.advance(60_000);
    await settle();
  }
  expect(most).toBeLessThanOrEqual(600);
  expect(conntrack.counters.dumps).toBe(20);
  expect(forgotten()).toBe(19);
  await clock.advance(60_000);
  await settle();
  await clock.advance(600_000);
  await settle();
  // What is in force stays, and nothing is looked at any more.
  expect([...compiler.decisionNumbers.decisions.keys()]).toEqual([...compiler.state.verdicts.keys()]);
  expect(conntrack.counters.dumps).toBeLessThanOrEqual(22);
  expect(compiler.state.verdicts.size).toBe(1);
  sweep.stop();
});

test("what a connection bears keeps its meaning, in either word of the label; what just went out of use, too", async () => {
  const { compiler, conntrack, clock, sweep, put } = scene();
  const { decisions } = compiler.decisionNumbers;
  const [sent, received] = [put("sent"), put("received")];
  conntrack.table.push(bearing([sent, 0, 0, 0]), bearing([0, received, 0, 0]));
  for (let each = 0; each < 200; each++) put(`p${each}`);
  await clock.advance(60_000);
  await settle();
  const late = put("late");
  put("now");
  await clock.advance(60_000);
  await settle();
  expect([sent, received, late].map((number) => decisions.has(number))).toEqual([true, true, true]);
  expect(decisions.size).toBeLessThan(10);
  conntrack.table.length = 0;
  for (let each = 0; each < 200; each++) put(`q${each}`);
  await clock.advance(60_000);
  await settle();
  await clock.advance(60_000);
  await settle();
  expect([sent, received, late].map((number) => decisions.has(number))).toEqual([false, false, false]);
  sweep.stop();
});
