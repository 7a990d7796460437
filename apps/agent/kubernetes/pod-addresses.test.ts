import { expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { FakeNodeApi, pass } from "./fake-node-api.fixture.ts";
import { PodAddresses } from "./pod-addresses.ts";

const key = (containerId: string, ifname = "eth0") => ({ network: "twill", containerId, ifname });
const named = (index: number) => ({ podName: `p${index}`, podNamespace: "shop", podUid: `uid-${index}` });
const ip = (index: number) => [`10.244.1.${index}`] as Address[];

function parts() {
  const api = new FakeNodeApi();
  const clock = new FakeClock();
  for (let index = 0; index < 250; index++)
    api.objects.set(`pods/shop/p${index}/status`, { metadata: { name: `p${index}` } });
  const pods = new PodAddresses({ client: api.open, clock, log: silentLog, onChange: () => {} });
  return { api, clock, pods };
}

test("a pod's addresses are its annotations at once, if it is still that pod", async () => {
  const { api, clock, pods } = parts();
  pods.added(key("c1"), named(1), ["10.244.1.2", "fd00::2"] as Address[]);
  expect(api.asked).toEqual([]); // nothing while the plugin waits
  await pass(clock, 500);
  expect(api.asked).toEqual([
    {
      verb: "patch",
      path: "pods/shop/p1/status",
      body: {
        metadata: {
          uid: "uid-1",
          annotations: {
            "cni.projectcalico.org/podIP": "10.244.1.2/32",
            "cni.projectcalico.org/podIPs": "10.244.1.2/32,fd00::2/128",
          },
        } as never,
      },
    },
  ]);
  expect([pods.waiting, pods.counters]).toEqual([0, { published: 1, dropped: 0, failed: 0 }]);
  pods.stop();
});

test("other interfaces, and pods that the runtime did not name, are nobody's", async () => {
  const { api, clock, pods } = parts();
  pods.added(key("c1", "net1"), named(1), ip(1));
  pods.added(key("c2"), {}, ip(2));
  pods.added(key("c3"), { podName: "p3", podNamespace: "shop" }, ip(3));
  await pass(clock, 1000);
  expect(api.asked).toEqual([]);
  pods.stop();
});

test("while the API server is away they wait; what is deleted meanwhile is not told, a new address replaces the old", async () => {
  const { api, clock, pods } = parts();
  api.failure = new TwillError("unavailable", "away");
  for (let index = 0; index < 200; index++) pods.added(key(`c${index}`), named(index), ip(index));
  await pass(clock, 10 * 60_000);
  expect(api.asked.length).toBeLessThan(200);
  expect(pods.problems).toEqual([]);
  for (let index = 0; index < 150; index++) pods.removed(key(`c${index}`));
  // The pod's sandbox is made anew, and the old one's DEL comes late.
  pods.added(key("again"), named(199), ip(99));
  pods.removed(key("c199"));
  expect(pods.waiting).toBe(50);
  api.asked.length = 0;
  api.failure = undefined;
  await pass(clock, 60_000);
  expect([pods.waiting, pods.counters.published, api.asked.length]).toEqual([0, 50, 50]);
  expect(JSON.stringify(api.objects.get("pods/shop/p199/status"))).toContain("10.244.1.99/32");
  pods.stop();
});

test("another pod of that name, one that is gone, and one that is refused harm no other", async () => {
  const { api, clock, pods } = parts();
  const answers: Record<string, TwillError> = {
    p1: new TwillError("conflict", "was changed by someone else"),
    p2: new TwillError("not-found", "does not exist"),
    p3: new TwillError("denied", "may write only its own node and the pods on it"),
  };
  const patch = api.patch.bind(api);
  api.patch = async (resource, place, body) => {
    const answer = answers[place.name ?? ""];
    if (answer !== undefined) throw answer;
    return await patch(resource, place, body);
  };
  for (let index = 1; index <= 20; index++) pods.added(key(`c${index}`), named(index), ip(index));
  await pass(clock, 60_000);
  expect(pods.counters).toMatchObject({ published: 17, dropped: 2 });
  expect([pods.waiting, pods.problems.length]).toEqual([1, 1]);
  delete answers.p3;
  await pass(clock, 60_000);
  expect([pods.waiting, pods.problems.length]).toEqual([0, 0]);
  pods.stop();
});
