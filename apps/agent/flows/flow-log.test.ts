import { afterAll, expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../../src/base/address.ts";
import { FakeClock, systemClock } from "../../../src/base/clock.ts";
import { createLog } from "../../../src/base/log.ts";
import { openConntrack } from "../../../src/kernel/conntrack-socket.ts";
import { flood, ruleOnOutput } from "../../../src/kernel/netlink-events.fixture.ts";
import { openNft } from "../../../src/kernel/nft-socket.ts";
import { ThreadPoller } from "../../../src/kernel/poller.ts";
import { kernelSysctls } from "../../../src/kernel/sysctl.ts";
import type { Flow } from "../../../src/model/flow.ts";
import type { Decision } from "../../../src/model/policy-state.ts";
import { byteData, concatenated, hostData, portData } from "../../../src/objects/nft-data.ts";
import type { NftExpression } from "../../../src/objects/nft-expression.ts";
import { marks } from "../../../src/render/hooks.ts";
import { type TestNetns, testNetns } from "../../../test/support/netns.ts";
import { FlowLog, type FlowLogOptions, type FlowScope } from "./flow-log.ts";

const poller = new ThreadPoller();
afterAll(() => poller.close());
const log = createLog({ level: "error", format: "text", write: () => {} });

const web = { kind: "NetworkPolicy", namespace: "shop", name: "web" } as const;
const decisions: Readonly<Record<number, Decision>> = {
  5: { direction: "egress", verdict: "allow", log: false, reason: { by: "no-policy" } },
  6: { direction: "ingress", verdict: "allow", log: true, reason: { by: "rule", policy: web, rule: 1 } },
  7: { direction: "ingress", verdict: "deny", log: false, reason: { by: "tier", tier: "default", isolatedBy: [web] } },
};

/**
 * What policy's own program does, in short: UDP to port 2000 begins with label 5, 6; port 2001 without a label; 2002 is denied by decision
 * 7, 2003 as spoofed.
 */
function policy(netns: TestNetns): void {
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  const at = { family: "inet", table: "t" } as const;
  const port = (number: number): NftExpression[] => [
    { type: "payload", to: 8, base: "transport", offset: 2, length: 2 },
    { type: "cmp", from: 8, op: "eq", value: portData(number) },
  ];
  const deny = (mark: number): NftExpression[] => [
    { type: "immediate", to: 8, value: hostData(mark) },
    { type: "meta.set", key: "mark", from: 8 },
    { type: "log", group: 84, snaplen: 128 },
    { type: "verdict", verdict: { verdict: "drop" } },
  ];
  const label = concatenated(hostData(5), hostData(6), hostData(0), hostData(0));
  const rules: NftExpression[][] = [
    [...port(2000), { type: "immediate", to: 8, value: label }, { type: "ct.set", key: "label", from: 8 }],
    [...port(2001), { type: "ct", key: "state", to: 8 }],
    [...port(2002), ...deny(7)],
    [...port(2003), ...deny(marks.spoofed)],
  ];
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "t" } },
    {
      op: "chain.add",
      chain: { ...at, name: "c", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } },
    },
    ...rules.map((expressions) => ({ op: "rule.add" as const, rule: { ...at, chain: "c", expressions } })),
  ]);
}

function start(scope: FlowScope, more: Partial<FlowLogOptions> = {}) {
  const netns = testNetns();
  netns.run("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1");
  netns.run("ip", "addr", "add", "10.1.0.2/32", "dev", "lo");
  policy(netns);
  const folder = mkdtempSync(join(tmpdir(), "twill-flow-log-"));
  const flows = new FlowLog({
    scope,
    knowledge: {
      decision: (number) => decisions[number],
      tier: () => "default",
      end: (address) =>
        address === "10.1.0.2"
          ? { kind: "pod", address, namespace: "shop", name: "web-0", labels: { app: "web" } }
          : { kind: "address", address },
      isOwn: (address) => address === "10.1.0.2",
    },
    history: { folder: join(folder, "flows"), node: "n1", maximumBytes: 1 << 20, fileBytes: 1 << 18 },
    poller,
    sysctls: netns.enter(() => kernelSysctls(netns.fd)),
    clock: systemClock,
    log,
    netns: netns.fd,
    ...more,
  });
  onTestFinished(async () => {
    await flows.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const send = (port: number, to = "10.1.0.2") => netns.run("bash", "-c", `echo x > /dev/udp/${to}/${port} || true`);
  return { flows, netns, send };
}

const told = async (flows: FlowLog): Promise<readonly Flow[]> => (await flows.page({ filter: {}, limit: 1000 })).flows;

async function until(flows: FlowLog, condition: (told: readonly Flow[]) => boolean): Promise<readonly Flow[]> {
  for (let round = 0; round < 200; round++) {
    const found = await told(flows);
    if (condition(found)) return found;
    await Bun.sleep(100);
  }
  throw new Error(`not told: ${JSON.stringify(await told(flows))}`);
}
const portsOf = (flows: readonly Flow[]) => flows.map(({ port }) => port).toSorted();

test("denied packets and allowed connections are told with the rules that decided", async () => {
  const { flows, send } = start("all");
  expect(flows.problems).toEqual([]);
  for (const port of [2000, 2001, 2002, 2003]) send(port);
  send(2002);
  send(2001, "127.0.0.1"); // The node's own affair.
  const found = await until(flows, (all) => portsOf(all).length === 4 && flows.counters.seen.deny.ingress === 2);
  const pod = { kind: "pod", address: "10.1.0.2", namespace: "shop", name: "web-0", labels: { app: "web" } };
  const by = (port: number) => found.find((flow) => flow.port === port);
  const rule = { by: "rule", policy: web, rule: 1, tier: "default" };
  expect(by(2000)).toMatchObject({
    verdict: "allow",
    protocol: 17,
    source: pod,
    destination: pod,
    egress: { by: "no-policy" },
    ingress: rule,
    count: 1,
  });
  expect(by(2001)).toMatchObject({ verdict: "allow" });
  expect(by(2001)).not.toHaveProperty("ingress");
  expect(by(2002)).toMatchObject({ verdict: "deny", ingress: decisions[7]?.reason });
  expect(by(2002)).not.toHaveProperty("egress");
  expect(by(2003)).toMatchObject({ verdict: "deny", obstacle: "spoofed", source: pod });
  expect(Date.now() - (flows.lastHit(7) ?? 0)).toBeLessThan(60_000);
  expect(flows.lastHit(6)).toBeDefined();
  expect(flows.lastHit(8)).toBeUndefined();
  expect(flows.counters).toMatchObject({
    seen: { allow: { egress: 1, ingress: 1, none: 1 }, deny: { egress: 0, ingress: 2, none: 1 } },
    lost: { connections: 0, denied: 0 },
    open: 2,
  });
}, 60_000);

test("the end of a connection tells what passed", async () => {
  const { flows, send, netns } = start("all");
  send(2000);
  await until(flows, (all) => all.length === 1);
  const conntrack = openConntrack({ netns: netns.fd });
  conntrack.deleteWhere(() => true);
  conntrack.close();
  for (let round = 0; round < 200 && flows.counters.open > 0; round++) await Bun.sleep(20);
  // The window ends with the log.
  await flows.close();
  const ends = (await told(flows)).filter(({ ended }) => ended !== undefined);
  expect(ends).toMatchObject([{ port: 2000, count: 0, ended: { connections: 1, packets: 1, bytes: 30 } }]);
  expect(ends[0]?.ended?.seconds).toBeLessThan(20);
}, 60_000);

test("of policy alone: what no policy decided is not told", async () => {
  const { flows, send } = start("policy");
  for (const port of [2001, 2000, 2002]) send(port);
  const found = await until(flows, (all) => all.length >= 2);
  expect(portsOf(found)).toEqual([2000, 2002]);
}, 60_000);

test("of denied ones: and what a rule wants logged", async () => {
  const { flows, send } = start("denied", {
    knowledge: {
      decision: (number) => (number === 6 ? undefined : decisions[number]),
      end: (address) => ({ kind: "address", address }),
      isOwn: () => true,
    },
  });
  const logged = start("denied");
  for (const each of [send, logged.send]) for (const port of [2001, 2000, 2002]) each(port);
  expect(portsOf(await until(flows, (all) => all.length >= 1))).toEqual([2002]);
  expect(portsOf(await until(logged.flows, (all) => all.length >= 2))).toEqual([2000, 2002]);
}, 60_000);

test("a flood of denied packets to 16,000 ports is a few flows, however the kernel reports it", async () => {
  // Every one of them is reported: policy's own rule has a limit.
  const netns = ruleOnOutput([
    { type: "meta", key: "l4proto", to: 8 },
    { type: "cmp", from: 8, op: "eq", value: byteData(17) },
    { type: "immediate", to: 8, value: hostData(7) },
    { type: "meta.set", key: "mark", from: 8 },
    { type: "log", group: 84, snaplen: 128 },
    { type: "verdict", verdict: { verdict: "drop" } },
  ]);
  const { flows } = start("all", { netns: netns.fd });
  flood(netns, 16_000, 16_000);
  const reported = () => flows.counters.seen.deny.ingress + flows.counters.lost.denied;
  for (let last = -1; reported() !== last; ) {
    last = reported();
    await Bun.sleep(1500);
  }
  await flows.close();
  const found = await told(flows);
  const scan = found.filter(({ ports }) => ports !== undefined);
  expect(reported()).toBeGreaterThan(15_000);
  expect(found.length).toBeLessThan(200);
  expect(Math.max(...scan.map(({ ports = 0 }) => ports))).toBeGreaterThan(100);
  expect(flows.counters.kept.bytes).toBeLessThan(200_000);
}, 60_000);

test("where another program has the log group it says so, and connections are told all the same", async () => {
  const first = start("all");
  const clock = new FakeClock(Date.now());
  const second = new FlowLog({
    scope: "all",
    knowledge: { decision: () => undefined, end: (address) => ({ kind: "address", address }), isOwn: () => true },
    poller,
    sysctls: { tryRead: () => undefined },
    clock,
    log,
    netns: first.netns.fd,
  });
  onTestFinished(() => second.close());
  expect(second.problems).toMatchObject([{ severity: "warning", subject: "flows", reason: "FlowsMissing" }]);
  expect(second.problems[0]?.message).toContain("another program listens");
  first.send(2000);
  const [flow] = await until(second, (all) => {
    void clock.advance(1000);
    return all.length > 0;
  });
  expect(flow).toMatchObject({ ingress: { by: "forgotten", number: 6 }, source: { kind: "address" } });
  expect(parseAddress("10.1.0.2")).toBe(flow?.source.kind === "address" ? flow.source.address : parseAddress("::"));

  // It is free again: a minute later it is taken.
  await first.flows.close();
  for (let round = 0; round < 500 && second.problems.length > 0; round++) {
    await clock.advance(1000);
    await Bun.sleep(1);
  }
  expect(second.problems).toEqual([]);
  first.send(2002);
  await until(second, (all) => {
    void clock.advance(1000);
    return all.some(({ port, obstacle }) => port === 2002 && obstacle === "forgotten");
  });
}, 60_000);

test("where connection tracking tells of nothing it says so", () => {
  const off = { tryRead: (name: readonly string[]) => (name.at(-1) === "nf_conntrack_events" ? "0" : undefined) };
  const { flows } = start("all", { sysctls: off });
  expect(flows.problems).toMatchObject([{ reason: "FlowsMissing", message: "conntrack tells of no connections" }]);
});

test("without a usable folder flows are told from memory, and that is said", async () => {
  const history = { folder: "/dev/null/flows", node: "n1", maximumBytes: 1 << 20, fileBytes: 1 << 18 };
  const { flows, send } = start("all", { history });
  expect(flows.problems).toMatchObject([{ subject: "flows", reason: "FlowsNotKept" }]);
  send(2000);
  expect(portsOf(await until(flows, (all) => all.length > 0))).toEqual([2000]);
}, 60_000);
