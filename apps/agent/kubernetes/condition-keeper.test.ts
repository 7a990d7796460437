import { expect, test } from "bun:test";
import { FakeClock } from "../../../src/base/clock.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { NodeCondition } from "../../../src/store/kubernetes/object.ts";
import { ClusterNodes } from "./cluster-nodes.ts";
import { ConditionKeeper } from "./condition-keeper.ts";
import { FakeNodeApi, fakeNode, pass, turns } from "./fake-node-api.fixture.ts";
import type { NetworkCondition } from "./network-condition.ts";

const up: NetworkCondition = { status: "False", reason: "TwillIsUp", message: "pods get addresses" };
const outside: NetworkCondition = { status: "True", reason: "PodCIDROutsideNetwork", message: "outside" };
const starting: NetworkCondition = { status: "True", reason: "TwillIsNotReady", message: "waiting" };

async function withKeeper(work: (made: ReturnType<typeof parts>) => Promise<void>): Promise<void> {
  const made = parts();
  try {
    await work(made);
  } finally {
    made.keeper.stop();
  }
}

function parts() {
  const api = new FakeNodeApi();
  const clock = new FakeClock();
  const nodes = new ClusterNodes("a");
  const recovered: string[] = [];
  const keeper = new ConditionKeeper({
    nodes,
    client: api.open,
    clock,
    log: silentLog,
    onWritten: (before, now) => recovered.push(`${before?.status} ${now.status}`),
  });
  /** The watch: the Node as the API server has it. */
  const watch = (condition?: Partial<NodeCondition>, uid = "1") =>
    nodes.changed(
      fakeNode("a", {
        metadata: { name: "a", uid },
        status: { conditions: condition === undefined ? [] : [{ type: "NetworkUnavailable", ...up, ...condition }] },
      }),
    );
  const written = () =>
    api.asked.map(({ path, body }) => {
      const { conditions } = body.status as { conditions: (NodeCondition & { lastTransitionTime: string })[] };
      return [path, conditions[0]?.status as string, conditions[0]?.reason ?? ""].join(" ");
    });
  return { api, clock, nodes, keeper, watch, written, recovered };
}

test("written when the Node says something else, and not again", async () => {
  await withKeeper(async ({ keeper, watch, written, clock, recovered, api }) => {
    keeper.want(up);
    await turns();
    expect(written()).toEqual([]); // there is no Node yet
    watch();
    await turns();
    expect(written()).toEqual(["nodes/a/status False TwillIsUp"]);
    // The watch still tells of before, then of our own write.
    watch();
    watch({ lastTransitionTime: "2026-01-01T00:00:00Z" });
    keeper.want({ ...up });
    await pass(clock, 3600_000);
    expect(written().length).toBe(1);
    keeper.want({ ...up, message: "of another podCIDR" });
    await turns();
    expect(written().length).toBe(2);
    // Only the message changed: it is in that state since then.
    expect(JSON.stringify(api.asked[1]?.body)).toContain('"lastTransitionTime":"2026-01-01T00:00:00Z"');
    expect(recovered).toEqual(["undefined False", "False False"]);
  });
});

test("a moment of not being ready is not told; what has a reason is told sooner than what has none", async () => {
  await withKeeper(async ({ keeper, watch, written, clock }) => {
    watch({});
    keeper.want(up);
    keeper.want(starting);
    await pass(clock, 20_000);
    keeper.want(up);
    await pass(clock, 60_000);
    expect(written()).toEqual([]);
    keeper.want(outside);
    await pass(clock, 4_000);
    expect(written()).toEqual([]);
    await pass(clock, 2_000);
    expect(written()).toEqual(["nodes/a/status True PodCIDROutsideNetwork"]);
    watch(outside);
    keeper.want(up);
    await turns();
    expect(written()[1]).toBe("nodes/a/status False TwillIsUp");
  });
});

test("a Node that was deleted and came back is written at once; another writer is overwritten once a minute", async () => {
  await withKeeper(async ({ keeper, watch, written, clock, nodes }) => {
    keeper.want(up);
    watch();
    await turns();
    nodes.deleted("a");
    watch(undefined, "2");
    await turns();
    expect(written().length).toBe(2);
    for (let round = 0; round < 12; round++) {
      watch({ status: "True", reason: "NoRouteCreated" }, "2");
      await pass(clock, 10_000);
      watch({}, "2");
    }
    expect(written().length).toBeGreaterThan(2);
    expect(written().length).toBeLessThanOrEqual(5);
  });
});

test("an API server that is away is tried again, ever more slowly", async () => {
  await withKeeper(async ({ keeper, watch, written, clock, api }) => {
    api.failure = new TwillError("unavailable", "away");
    keeper.want(up);
    watch();
    await pass(clock, 10 * 60_000);
    expect(written().length).toBeGreaterThan(10);
    expect(written().length).toBeLessThan(40);
    api.failure = undefined;
    await pass(clock, 60_000);
    const tries = written().length;
    watch({});
    await pass(clock, 60 * 60_000);
    expect(written().length).toBe(tries);
  });
});
