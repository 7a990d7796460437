import { expect, onTestFinished, setDefaultTimeout, test } from "bun:test";
import { parseAddress } from "../../src/base/address.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isCode } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Looker } from "../../src/insight/looker.ts";
import type { Lease } from "../../src/model/network.ts";
import { askPeer } from "../../src/rpc/peer/channel.ts";
import { encodeKey, makeKey } from "../../src/rpc/peer/key.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { LookService } from "./look-service.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

const random = seededRandom(3);
const key = makeKey(random);
const loopback = parseAddress("127.0.0.1");

const lease = (node: string, address: string, subnet: string, peerPort: number): Lease => ({
  node,
  subnets: [parsePrefix(subnet)],
  addresses: [parseAddress(address)],
  backendType: "vxlan",
  backendData: {},
  peerPort,
});

/** node1's service; who asks from the loopback is node2. */
async function service({ sharesFlows = true } = {}) {
  const port = 40_000 + random.below(10_000);
  const asked: unknown[] = [];
  const answer = (question: string) => (params: unknown) => {
    asked.push([question, params]);
    return { question };
  };
  const questions = [
    "find",
    "card",
    "walk",
    "probe",
    "watch",
    "watched",
    "checks",
    "examine",
    "devices",
    "report",
    "flows",
  ];
  const answers = Object.fromEntries(
    questions.map((question) => [question, answer(question)]),
  ) as unknown as Looker["answers"];
  const leases = new Map([
    ["node1", lease("node1", "192.168.1.1", "10.244.1.0/24", port)],
    ["node2", lease("node2", "127.0.0.1", "10.244.2.0/24", port)],
    ["node3", lease("node3", "192.168.1.3", "10.244.3.0/24", port)],
  ]);
  const store = {
    get: async () => ({ name: "peer-key", value: encodeKey(key), revision: "1" }),
  } as unknown as Datastore;
  const looks = new LookService({
    ...{ node: "node1", port, leases: () => leases, store, clock: systemClock, random, log: silentLog },
    looker: { answers, close: () => {} },
    sharesFlows,
  });
  onTestFinished(() => looks.stop());
  const ask = (question: string, params: unknown) =>
    askPeer(question, params, { address: loopback, port, key, random, timeout: 20_000 });
  for (let attempt = 0; ; attempt++) {
    const ready = await ask("card", {}).then(
      () => true,
      () => false,
    );
    if (ready) break;
    if (attempt > 200) throw new Error("the service does not come up");
    await Bun.sleep(50);
  }
  asked.length = 0;
  return { looks, ask, asked };
}

const packet = (source: string, destination: string) => ({ source, destination, protocol: "icmp", size: 84 });
const watch = (...hosts: string[]) => ({
  places: [{ device: "eth0" }],
  hosts,
  vxlanPorts: [],
  milliseconds: 10,
  bytes: 10,
  snapLength: 64,
});

test("another node may ask about traffic of its own pods and addresses, and about nobody else's", async () => {
  const { ask, asked } = await service();
  const allowed: readonly (readonly [string, unknown])[] = [
    ["walk", { entry: { from: "wire" }, packet: packet("10.244.2.5", "10.244.1.5") }],
    ["walk", { entry: { from: "pod", pod: "default/a" }, packet: packet("10.244.1.5", "10.244.2.5") }],
    ["watch", watch("10.244.1.5", "10.244.2.5")],
    ["watch", watch("127.0.0.1", "192.168.1.1")],
    ["find", { pod: "web" }],
    ["card", {}],
  ];
  for (const [question, params] of allowed) expect(await ask(question, params)).toEqual({ question });
  expect(asked).toHaveLength(allowed.length);
  asked.length = 0;
  const denied: readonly (readonly [string, unknown])[] = [
    ["walk", { entry: { from: "wire" }, packet: packet("10.244.3.5", "10.244.1.5") }],
    ["watch", watch("10.244.1.5")],
    ["watch", watch("10.244.1.5", "10.244.3.5")],
    ["probe", { destination: "10.244.3.5", protocol: "icmp", timeout: 10 }],
  ];
  for (const [question, params] of denied) {
    const error = await ask(question, params).catch((thrown: unknown) => thrown);
    expect([question, isCode(error, "denied")]).toEqual([question, true]);
  }
  expect(asked).toEqual([]);
});

test("parameters are checked, whoever asks", async () => {
  const { looks, ask, asked } = await service();
  const wrong: readonly (readonly [string, unknown])[] = [
    ["watch", { ...watch("10.244.2.5"), milliseconds: 1e9 }],
    ["watch", { ...watch("10.244.2.5"), places: [{ device: "../../x" }] }],
    ["watch", { ...watch("10.244.2.5"), program: [{ code: -1, jt: 0, jf: 0, k: 0 }] }],
    ["walk", { entry: { from: "wire" }, packet: { ...packet("10.244.2.5", "10.244.1.5"), size: -1 } }],
    ["probe", { destination: "10.244.2.5", protocol: "sctp", timeout: 10 }],
    ["find", { pod: "a b" }],
    ["watched", { id: "../x" }],
    ["find", null],
  ];
  for (const [question, params] of wrong) {
    for (const how of [() => ask(question, params), () => looks.look({ question, params })]) {
      const error = await how().catch((thrown: unknown) => thrown);
      expect([question, isCode(error, "invalid")]).toEqual([question, true]);
    }
  }
  for (const question of ["cni", "constructor", "__proto__", ""]) {
    const error = await ask(question, {}).catch((thrown: unknown) => thrown);
    expect([question, isCode(error, "unsupported")]).toEqual([question, true]);
  }
  expect(asked).toEqual([]);
});

test("the command line may ask about anything here, and reaches the others by name", async () => {
  const { looks } = await service();
  expect(await looks.look({ question: "watch", params: watch("10.244.1.5") })).toEqual({ question: "watch" });
  expect(await looks.look({ node: "node2", question: "card", params: {} })).toEqual({ question: "card" });
  await expect(looks.look({ node: "node9", question: "card", params: {} })).rejects.toThrow("no such node");
});

test("flows are told to other nodes; where they are not shared, those of the asking node's own pods", async () => {
  const request = { filter: { verdict: "deny" }, limit: 10 };
  const open = await service();
  await open.ask("flows", request);
  expect(open.asked).toEqual([["flows", request]]);
  const closed = await service({ sharesFlows: false });
  await closed.ask("flows", { ...request, filter: { ...request.filter, among: ["0.0.0.0/0"] } });
  const among = ["10.244.2.0/24", "127.0.0.1"];
  expect(closed.asked).toEqual([["flows", { ...request, filter: { ...request.filter, among } }]]);
  // This node's own command line is root's.
  closed.asked.length = 0;
  await closed.looks.look({ question: "flows", params: request });
  expect(closed.asked).toEqual([["flows", request]]);
});
