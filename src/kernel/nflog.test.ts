import { afterAll, expect, onTestFinished, test } from "bun:test";
import { bytesOf, parseAddress } from "../base/address.ts";
import { isCode } from "../base/errors.ts";
import type { LoggedPacket } from "../objects/nflog.ts";
import { byteData, hostData } from "../objects/nft-data.ts";
import { flood, ruleOnOutput, until } from "./netlink-events.fixture.ts";
import { type NflogOptions, watchNflog } from "./nflog.ts";
import { ThreadPoller } from "./poller.ts";

const poller = new ThreadPoller();
afterAll(() => poller.close());

const loopback = bytesOf(parseAddress("127.0.0.1"));
const options: NflogOptions = {
  group: 84,
  copyRange: 64,
  pace: { perSecond: 1_000_000, burst: 1_000_000 },
  receiveBuffer: 16 << 20,
};
/** UDP goes to group 84 with mark 0x1234, the ICMP that it causes does not. */
const logged = () =>
  ruleOnOutput([
    { type: "meta", key: "l4proto", to: 0 },
    { type: "cmp", from: 0, op: "eq", value: byteData(17) },
    { type: "immediate", to: 0, value: hostData(0x1234) },
    { type: "meta.set", key: "mark", from: 0 },
    { type: "log", group: 84, prefix: "denied" },
  ]);

function listen(netns: number, more: Partial<NflogOptions> = {}) {
  const packets: LoggedPacket[] = [];
  const watch = watchNflog(poller, { ...options, netns, ...more }, (packet) =>
    packets.push({ ...packet, payload: packet.payload.slice() }),
  );
  onTestFinished(() => watch.close());
  return { packets, watch };
}

test("a logged packet, with its mark and its beginning", async () => {
  const netns = logged();
  const { packets, watch } = listen(netns.fd);
  flood(netns, 1, 1);
  netns.run("bash", "-c", "head -c 500 /dev/zero > /dev/udp/::1/2001");
  await until(() => packets.length === 2);
  expect(packets[0]).toMatchObject({
    group: 84,
    family: 4,
    hook: 3,
    etherType: 0x0800,
    mark: 0x1234,
    prefix: "denied",
    outputDevice: 1,
    sequence: 0,
  });
  const { payload = new Uint8Array() } = packets[0] ?? {};
  expect(payload.subarray(12, 20)).toEqual(Uint8Array.of(...loopback, ...loopback));
  expect(payload.length).toBe(36);
  expect(packets[1]).toMatchObject({ family: 6, etherType: 0x86dd, sequence: 1 });
  expect(packets[1]?.payload.length).toBe(64);
  expect(watch.counters).toEqual({ received: 2, lost: 0, corrupt: 0 });
});

test("bursts come whole, in few datagrams", async () => {
  const netns = logged();
  const { packets, watch } = listen(netns.fd);
  flood(netns, 5000, 10);
  await until(() => packets.length === 5000);
  expect(watch.counters).toEqual({ received: 5000, lost: 0, corrupt: 0 });
});

test("what finds no room is counted, and listening goes on", async () => {
  const netns = logged();
  const { packets, watch } = listen(netns.fd, { receiveBuffer: 32 * 1024 });
  flood(netns, 5000, 10);
  // The gap shows with the packets behind it.
  await until(() => {
    flood(netns, 1, 1);
    return watch.counters.lost > 0;
  });
  const sent = (packets.at(-1)?.sequence ?? 0) + 1;
  expect(watch.counters.received + watch.counters.lost).toBe(sent);
  expect(packets.length).toBe(watch.counters.received);
  expect(watch.counters.corrupt).toBe(0);
});

test("a flood is read at the pace that was given, not at its own", async () => {
  const netns = logged();
  const { packets, watch } = listen(netns.fd, { pace: { perSecond: 200, burst: 50 } });
  const began = performance.now();
  flood(netns, 20_000, 10);
  await Bun.sleep(500);
  const seconds = (performance.now() - began) / 1000;
  // One datagram more than the tokens allow is taken, with up to 64 packets.
  expect(packets.length).toBeWithin(50, 50 + 200 * seconds + 65);
  expect(watch.counters.corrupt).toBe(0);
});

test("a group has one listener, and is free again when that ends", () => {
  const netns = logged();
  const first = watchNflog(poller, { ...options, netns: netns.fd }, () => {});
  const second = () => watchNflog(poller, { ...options, netns: netns.fd }, () => {});
  try {
    second();
    throw new Error("not refused");
  } catch (error) {
    expect(isCode(error, "conflict")).toBe(true);
  }
  first.close();
  first.close();
  second().close();
});
