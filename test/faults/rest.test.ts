import { expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

/** Of node1's agent since its start: CPU time in milliseconds, how often its main thread woke, its own memory in MB. */
async function spent(lab: FaultLab): Promise<{ cpu: number; wakes: number; memory: number }> {
  const cpu = (await lab.metric("node1", "twill_process_cpu_seconds_total")).get("") ?? 0;
  const status = await lab.on(
    "node1",
    "cat /proc/$(ps -eo pid,args | awk '/twill-agent .*--node-name node1 / { print $1; exit }')/status",
  );
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return { cpu: cpu * 1000, wakes: field("voluntary_ctxt_switches"), memory: field("RssAnon") / 1024 };
}

test("30 nodes: up in a time that fits, every path works, and the agents rest when nothing happens", async () => {
  const started = performance.now();
  await using lab = await FaultLab.up({ nodes: 30, subnets: 3, pods: 1 });
  console.log(`30 nodes up and every path checked: ${Math.round((performance.now() - started) / 100) / 10} s`);
  expect(performance.now() - started).toBeLessThan(200_000);
  await until(
    async () => (await lab.status("node1")).nodes.every(({ reachable }) => reachable.state === "yes"),
    "all nodes are reached",
    30_000,
  );
  const before = await spent(lab);
  const seconds = 5;
  await Bun.sleep(seconds * 1000);
  const after = await spent(lab);
  const cpu = ((after.cpu - before.cpu) / seconds) * 10;
  const wakes = Math.round((after.wakes - before.wakes) / seconds);
  console.log(
    `an agent at rest among 30 nodes: ${Math.round(cpu)} ms of CPU in 10 s, ${wakes} wakes a second, ${Math.round(after.memory)} MB`,
  );
  expect(await lab.kernelWrites("node1")).toBeGreaterThan(0);
  expect(cpu).toBeLessThan(500);
  expect(wakes).toBeLessThan(200);
  expect(after.memory).toBeLessThan(100);
}, 400_000);
