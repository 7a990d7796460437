import { expect, test } from "bun:test";
import { FakeClock } from "../../../src/base/clock.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import { ClusterNodes } from "./cluster-nodes.ts";
import { FakeNodeApi, fakeNode, pass } from "./fake-node-api.fixture.ts";
import { NodeEvents } from "./node-events.ts";

const problem = (message: string, fields: Partial<Problem> = {}): Problem => ({
  severity: "error",
  subject: "firewall",
  message,
  remedy: "mend it",
  ...fields,
});
const minute = 60_000;

function parts(api = new FakeNodeApi()) {
  const clock = new FakeClock();
  const nodes = new ClusterNodes("a");
  const events = new NodeEvents({ nodes, client: api.open, clock, log: silentLog });
  return { api, clock, nodes, events };
}

test("a problem that lasts is one event, told again each half hour while it does", async () => {
  const { api, clock, nodes, events } = parts();
  nodes.changed(fakeNode("a"));
  const bad = problem("drops packets", { reason: "ForeignFirewall" });
  for (let second = 0; second < 4; second++) {
    events.set([bad]);
    await pass(clock, 1000);
  }
  expect(api.asked).toEqual([]);
  await pass(clock, 2000);
  expect(api.asked.length).toBe(1);
  const [event] = api.objects.values();
  expect(event).toMatchObject({
    metadata: { namespace: "default" },
    involvedObject: { kind: "Node", name: "a", uid: "uid-a" },
    type: "Warning",
    reason: "ForeignFirewall",
    message: "firewall: drops packets (mend it)",
    count: 1,
    source: { component: "twill-agent", host: "a" },
  });
  for (let tick = 0; tick < 70; tick++) {
    events.set([bad]);
    await pass(clock, minute);
  }
  expect(api.asked.map(({ verb }) => verb)).toEqual(["create", "patch", "patch"]);
  expect([...api.objects.values()].map(({ count }) => count)).toEqual([3]);
  events.set([]);
  await pass(clock, 120 * minute);
  expect(api.asked.length).toBe(3);
  events.stop();
});

test("a restarted agent goes on with its event; one that the API server has forgotten is made anew", async () => {
  const api = new FakeNodeApi();
  for (let start = 1; start <= 3; start++) {
    const { clock, nodes, events } = parts(api);
    nodes.changed(fakeNode("a"));
    events.set([problem("x")]);
    await pass(clock, 6_000);
    if (start === 3) {
      api.objects.clear();
      await pass(clock, 31 * minute);
    }
    events.stop();
  }
  expect(api.objects.size).toBe(1);
  expect(api.asked.map(({ verb }) => verb)).toEqual([
    "create",
    "create",
    "patch",
    "create",
    "patch",
    "patch",
    "create",
  ]);
});

test("what flaps, and a flood, costs the API server little", async () => {
  const { api, clock, nodes, events } = parts();
  nodes.changed(fakeNode("a"));
  for (let second = 0; second < 60; second++) {
    events.set(second % 4 < 2 ? [problem("flaps")] : []);
    await pass(clock, 1000);
  }
  expect(api.asked).toEqual([]);
  for (let second = 0; second < 120; second++) {
    events.set(Array.from({ length: 100 }, (_, index) => problem(`flood ${Math.floor(second / 10)} ${index}`)));
    await pass(clock, 1000);
  }
  expect(api.asked.length).toBeGreaterThan(5);
  expect(api.asked.length).toBeLessThanOrEqual(10 + 4);
  events.stop();
});

test("nothing is asked before the Node is known; an API server that is away is tried again", async () => {
  const { api, clock, nodes, events } = parts();
  events.set([problem("x")]);
  await pass(clock, minute);
  expect(api.asked).toEqual([]);
  api.failure = new TwillError("unavailable", "away");
  nodes.changed(fakeNode("a"));
  await pass(clock, 5 * minute);
  expect(api.asked.length).toBeGreaterThan(3);
  api.failure = undefined;
  await pass(clock, 2 * minute);
  expect(api.objects.size).toBe(1);
  events.tell("TwillIsUp", "again");
  await pass(clock, 2 * minute);
  expect([...api.objects.values()].map(({ type }) => type)).toEqual(["Warning", "Normal"]);
  events.stop();
});

test("however long a message is, the event can be stored", async () => {
  const { api, clock, nodes, events } = parts();
  nodes.changed(fakeNode("a"));
  events.set([problem("m".repeat(100_000), { severity: "warning" })]);
  await pass(clock, 10_000);
  const [event] = api.objects.values();
  expect(event).toMatchObject({ reason: "TwillWarning" });
  expect(String(event?.message).length).toBe(1000);
  events.stop();
});
