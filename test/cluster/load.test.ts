import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { ControlPlane } from "../../lab/kubernetes/control-plane.ts";
import { agentsKubeconfig } from "../../lab/kubernetes/load/agents-user.ts";
import { apiServerMetrics } from "../../lab/kubernetes/load/api-server-metrics.ts";
import { mostInASecond, SimulatedAgents } from "../../lab/kubernetes/load/simulated-agents.ts";
import { SimulatedNodes } from "../../lab/kubernetes/load/simulated-nodes.ts";
import { NODES } from "../../src/store/kubernetes/resource.ts";
import { client } from "./control-plane.fixture.ts";

setDefaultTimeout(180_000);

/**
 * Many agents, their own store code, at one real API server. What 1,000 of them cost is measured by `npm run bench --
 * api-server`; that what they cost does not depend on what they must not ask for is shown here with fewer.
 */
const size = 100;
const processes = 2;

let plane: ControlPlane;
let nodes: SimulatedNodes;
let agents: SimulatedAgents;
const api = () => client(plane.certificateKubeconfig("admin", plane.admin));

beforeAll(async () => {
  plane = await ControlPlane.start({
    directory: mkdtempSync("/tmp/twill-load-"),
    say: (line) => process.stderr.write(`${line}\n`),
  });
  nodes = new SimulatedNodes(api());
  await nodes.add(size);
  agents = new SimulatedAgents(await agentsKubeconfig(plane, api()), size, processes);
  await agents.until("all are synced", () => agents.synced === size, 120_000);
}, 180_000);

afterAll(async () => {
  await agents?.stop();
  await plane?.stop();
});

const listsOf = (): number[] => agents.told.filter(({ event }) => event === "list").map(({ at }) => at);

/** @returns whether all agents know it. */
async function addNode(): Promise<() => boolean> {
  await nodes.add(1);
  const name = nodes.names.at(-1);
  return () => agents.told.filter((told) => told.event === "put" && told.name === name).length === size;
}

test("each agent watches Nodes once, and asks nothing while nothing happens to it", async () => {
  const before = await apiServerMetrics(plane);
  agents.forget();
  await Bun.sleep(10_000);
  const after = await apiServerMetrics(plane);
  const own = 1; // the API server's admission plugins watch Nodes, too
  expect(after.watches).toBeLessThanOrEqual(size + own);
  expect(after.watches).toBeGreaterThanOrEqual(size);
  expect(after.requests - before.requests).toBe(0);
  expect(agents.told).toEqual([]);
});

test("a kubelet's report costs each agent one event, and changes nothing downstream", async () => {
  agents.forget();
  const before = await apiServerMetrics(plane);
  await api().patch(
    NODES,
    { name: nodes.names[0] ?? "", subresource: "status" },
    {
      status: { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "2026-11-21T00:00:00Z" }] },
    },
    "strategic",
  );
  const deadline = performance.now() + 30_000;
  let after = before;
  while (after.events - before.events < size && performance.now() < deadline) {
    await Bun.sleep(200);
    after = await apiServerMetrics(plane);
  }
  expect(after.events - before.events).toBeGreaterThanOrEqual(size);
  expect(after.events - before.events).toBeLessThanOrEqual(size + 1);
  expect(agents.told).toEqual([]);
});

test("a node more is known to all agents", async () => {
  agents.forget();
  await agents.until("all know it", await addNode(), 60_000);
  expect(listsOf()).toEqual([]);
});

test("all agents survive a restart of the API server, and do not list together", async () => {
  agents.forget();
  await plane.stopApiServer();
  // While nobody looks: the server knows no history before its start, so all must list again.
  await plane.startApiServer();
  await agents.until("all know a new node", await addNode(), 120_000);
  const lists = listsOf();
  process.stderr.write(`${lists.length} lists, at most ${mostInASecond(lists)} in a second\n`);
  // Spread over 3 s, beside what their reconnections are spread by; reflector.test.ts counts exactly.
  expect(mostInASecond(lists)).toBeLessThan(0.7 * size);
});
