/**
 * What the agent does for flows, in a process of its own: `bun bench/flow-log-process.ts NETNS FOLDER`. Each line on its standard input
 * is a command; it answers with a line of JSON: "on" and "off" begin and end it, "tell" tells what it cost since the last "tell".
 */

import { join } from "node:path";
import { createInterface } from "node:readline";
import { FlowLog } from "../apps/agent/flows/flow-log.ts";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { openNetns } from "../src/kernel/netns.ts";
import { ThreadPoller } from "../src/kernel/poller.ts";
import { kernelSysctls } from "../src/kernel/sysctl.ts";
import type { Decision } from "../src/model/policy-state.ts";

const [path = "", folder = ""] = process.argv.slice(2);
const netns = openNetns(path);
const poller = new ThreadPoller();
const policy = { kind: "NetworkPolicy", namespace: "shop", name: "web" } as const;
const decision = (number: number): Decision => ({
  direction: number === 5 ? "egress" : "ingress",
  verdict: number === 7 ? "deny" : "allow",
  log: false,
  reason: { by: "rule", policy, rule: number },
});
let flows: FlowLog | undefined;
let spent = 0;
let began = performance.now();

async function obey(command: string): Promise<unknown> {
  if (command === "on") {
    flows = new FlowLog({
      scope: "all",
      knowledge: {
        decision,
        end: (address) => ({ kind: "pod", address, namespace: "shop", name: `web-${address}`, labels: { app: "web" } }),
        isOwn: () => true,
      },
      history: { folder: join(folder, "flows"), node: "n1", maximumBytes: 64 << 20, fileBytes: 4 << 20 },
      poller,
      sysctls: kernelSysctls(netns),
      clock: systemClock,
      log: silentLog,
      netns,
    });
    return { problems: flows.problems };
  }
  if (command === "off") {
    await flows?.close();
    flows = undefined;
    return {};
  }
  const { user, system } = process.cpuUsage();
  const [processor, now] = [(user + system) / 1000, performance.now()];
  const told = { processor: processor - spent, elapsed: now - began, ...flows?.counters };
  [spent, began] = [processor, now];
  return { ...told, resident: process.memoryUsage.rss() };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await obey(line.trim()))}\n`);
}
process.exit(0);
