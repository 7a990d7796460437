import { expect, onTestFinished, test } from "bun:test";
import { testNetns, vethPair } from "../../../test/support/netns.ts";
import type { Address } from "../../base/address.ts";
import { FakeClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { seededRandom } from "../../base/random.ts";
import { PeerProber } from "./prober.ts";

const key = seededRandom(1).bytes(32);
const address = (text: string) => text as Address;

/** Two probers on a wire that drops what `lost` says. */
function pair(lost: (to: Address) => boolean = () => false) {
  const clock = new FakeClock();
  const wire = new Map<Address, PeerProber>();
  const sentTo: Address[] = [];
  const prober = (node: string, own: readonly string[]): PeerProber => {
    const made: PeerProber = new PeerProber({
      node,
      key,
      clock,
      random: seededRandom(own.length),
      log: silentLog,
      onChange: () => {},
      transport: {
        send: (bytes, to) => {
          sentTo.push(to);
          // An answer to an overlay address comes from the overlay, one to the underlay from there.
          const from = address(own.find((candidate) => candidate.slice(0, 3) === to.slice(0, 3)) ?? "");
          if (!lost(to)) wire.get(to)?.receive(bytes, from, 9098);
        },
        close: () => {},
      },
    });
    for (const one of own) wire.set(address(one), made);
    return made;
  };
  const a = prober("a", ["192.168.0.1", "10.0.1.0"]);
  const b = prober("b", ["192.168.0.2", "10.0.2.0"]);
  a.change(new Map([["b", { port: 9098, underlay: address("192.168.0.2"), overlay: address("10.0.2.0") }]]));
  b.change(new Map([["a", { port: 9098, underlay: address("192.168.0.1"), overlay: address("10.0.1.0") }]]));
  const pass = async (milliseconds: number) => {
    for (let spent = 0; spent < milliseconds; spent += 50) {
      a.tick();
      b.tick();
      await clock.advance(50);
    }
  };
  return { a, b, clock, pass, sentTo };
}

test("both sides measure, and tell each other", async () => {
  const { a, b, pass } = pair();
  expect(a.reachability("b").state).toBe("unknown");
  await pass(25_000);
  expect(a.reachability("b")).toMatchObject({ state: "yes", loss: 0 });
  expect(b.reverse("a")).toMatchObject({ state: "yes" });
});

test("three losses in a row say no, and which way; one answer says yes again", async () => {
  let cut = "";
  const { a, pass } = pair((to) => to.startsWith(cut || "none"));
  await pass(3_000);
  cut = "10.";
  await pass(20_000);
  expect(a.reachability("b")).toMatchObject({ state: "no", failing: "overlay" });
  cut = "1";
  await pass(20_000);
  expect(a.reachability("b")).toMatchObject({ state: "no", failing: "underlay" });
  cut = "";
  await pass(15_000);
  expect(a.reachability("b").state).toBe("yes");
});

test("the budget holds for 1,000 peers, and every one has its turn", async () => {
  const { a, pass, sentTo } = pair();
  const contacts = Array.from(
    { length: 1000 },
    (_, index) => [`n${index}`, { port: 9098, underlay: address(`172.16.${index >> 8}.${index & 255}`) }] as const,
  );
  a.change(new Map(contacts));
  sentTo.length = 0;
  await pass(60_000);
  const own = sentTo.filter((to) => to.startsWith("172."));
  expect(own.length).toBeLessThanOrEqual(60 * 20 + 1);
  await pass(240_000);
  expect(new Set(sentTo.filter((to) => to.startsWith("172."))).size).toBe(1000);
});

test("who is not among all is measured no longer, and may not send; who stays keeps its history", async () => {
  const { a, pass, sentTo } = pair();
  await pass(10_000);
  expect(a.reachability("b").state).toBe("yes");
  const b = { port: 9098, underlay: address("192.168.0.2"), overlay: address("10.0.2.0") };
  a.change(new Map([["c", { port: 9098, underlay: address("192.168.0.3") }]]));
  a.change(new Map([["b", b]]), { whole: true });
  expect([a.reachability("b").state, a.reachability("c").state]).toEqual(["yes", "unknown"]);
  sentTo.length = 0;
  await pass(10_000);
  expect(sentTo.filter((to) => to === "192.168.0.3")).toEqual([]);
  const rejected = a.counters.rejected;
  a.receive(new Uint8Array(320), address("192.168.0.3"), 9098);
  expect(a.counters.rejected - rejected).toBe(1);
  a.change(new Map([["b", undefined]]));
  expect([a.reachability("b").state, a.reverse("b")]).toEqual(["unknown", undefined]);
});

test("strangers, wrong keys and replays are not answered or believed", async () => {
  const { a, b, pass, sentTo } = pair();
  await pass(2_000);
  sentTo.length = 0;
  const before = a.counters.rejected;
  a.receive(new Uint8Array(320), address("203.0.113.9"), 1);
  a.receive(new Uint8Array(320), address("192.168.0.2"), 1);
  expect([a.counters.rejected - before, sentTo.length]).toEqual([2, 0]);
  expect(b.counters.rejected).toBe(0);
});

test("answers are limited, however many probes are replayed", async () => {
  const { a, pass } = pair();
  await pass(100);
  let answers = 0;
  const captured: Uint8Array[] = [];
  const attacker = new PeerProber({
    node: "b",
    key,
    clock: new FakeClock(),
    random: seededRandom(9),
    log: silentLog,
    onChange: () => {},
    transport: { send: (bytes) => captured.push(bytes), close: () => {} },
  });
  attacker.change(new Map([["a", { port: 1, underlay: address("192.168.0.1") }]]));
  for (let round = 0; round < 100 && captured.length === 0; round++) {
    await (attacker as unknown as { tick(): void }).tick();
  }
  const rejected = a.counters.rejected;
  for (let round = 0; round < 1000; round++) {
    a.receive(captured[0] ?? new Uint8Array(), address("192.168.0.2"), 9);
    answers++;
  }
  expect(answers - (a.counters.rejected - rejected)).toBeLessThanOrEqual(200);
});

test.each([
  ["IPv4", "192.168.0.", "10.0.0.", "24"],
  ["IPv6", "fd01::", "fd02::", "64"],
])(
  "real sockets over %s: the overlay alone cut, then the underlay, then both back",
  async (_, underlay, overlay, length) => {
    const [left, right] = [testNetns(), testNetns()];
    vethPair({ netns: left, name: "eth0" }, { netns: right, name: "eth0" });
    const start = (netns: typeof left, own: number, other: number) => {
      netns.run(
        "ip",
        "addr",
        "add",
        `${underlay}${own}/${length}`,
        "dev",
        "eth0",
        ...(length === "64" ? ["nodad"] : []),
      );
      netns.run(
        "ip",
        "link",
        "add",
        "vx",
        "type",
        "vxlan",
        "id",
        "1",
        "dstport",
        "8472",
        "remote",
        `${underlay}${other}`,
        "dev",
        "eth0",
      );
      netns.run("ip", "addr", "add", `${overlay}${own}/${length}`, "dev", "vx", ...(length === "64" ? ["nodad"] : []));
      netns.run("ip", "link", "set", "vx", "up");
      const fixture = `${import.meta.dir}/prober.fixture.ts`;
      const command = [process.execPath, fixture, `n${own}`, `${underlay}${other}`, `${overlay}${other}`];
      const child = netns.enter(() => Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" }));
      onTestFinished(() => child.kill("SIGKILL"));
      return child.stdout;
    };
    const lines = start(left, 1, 2).pipeThrough(new TextDecoderStream()).getReader();
    void start(right, 2, 1);
    let seen = "";
    const until = async (state: string) => {
      while (!seen.endsWith(`${state}\n`)) seen += (await lines.read()).value ?? "";
    };
    await until("yes");
    left.run("ip", "link", "set", "vx", "down");
    await until("no overlay");
    right.run("ip", "link", "set", "eth0", "down");
    await until("no underlay");
    right.run("ip", "link", "set", "eth0", "up");
    if (length === "64") right.run("ip", "addr", "replace", `${underlay}2/${length}`, "dev", "eth0", "nodad"); // link down removed it
    left.run("ip", "link", "set", "vx", "up");
    if (length === "64") left.run("ip", "addr", "replace", `${overlay}1/${length}`, "dev", "vx", "nodad");
    await until("yes");
  },
  30_000,
);
