import { expect, onTestFinished, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { parseAddress } from "../base/address.ts";
import { ByteWriter } from "../base/bytes.ts";
import { encodeAcknowledgement } from "../wire/netlink/acknowledgement.ts";
import { encodeMessage, type NetlinkRequest, NLM_F_ACK, NLMSG_ERROR } from "../wire/netlink/message.ts";
import { encodeAddress } from "../wire/rtnetlink/address.ts";
import { decodeLink, encodeLinkChange, encodeLinkQuery } from "../wire/rtnetlink/link.ts";
import { RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK } from "../wire/rtnetlink/message-types.ts";
import { EEXIST, ENOBUFS, EPROTONOSUPPORT } from "./errno.ts";
import { closeFile } from "./file.ts";
import { NETLINK_ROUTE, NetlinkSocket, type NetlinkSocketOptions } from "./netlink-socket.ts";
import { setTrace } from "./netlink-trace.ts";
import { inNetns } from "./netns.ts";
import { AF_NETLINK, openSocket, SOCK_RAW, trySend } from "./socket.ts";

function opened(options: NetlinkSocketOptions): NetlinkSocket {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, options);
  onTestFinished(() => socket.close());
  return socket;
}

const getLo: NetlinkRequest = { type: RTM_GETLINK, flags: NLM_F_ACK, payload: encodeLinkQuery({ name: "lo" }) };
const nobody: NetlinkRequest = { type: RTM_NEWLINK, flags: NLM_F_ACK, payload: encodeLinkChange(99, { up: true }) };

test("each message of a request has its own result, in order", () => {
  const socket = opened({ netns: testNetns().fd });
  const results = socket.request([getLo, nobody, { ...getLo, flags: 0 }, getLo]);
  expect(results.map((result) => [result.error?.errno, result.replies.length, result.acknowledged])).toEqual([
    [undefined, 1, true],
    [19, 0, true],
    [undefined, 1, true],
    [undefined, 1, true],
  ]);
  expect(decodeLink(results[3]?.replies[0]?.payload ?? new Uint8Array(0)).name).toBe("lo");
});

test("answers that did not fit are told, and the socket can be used again", () => {
  const netns = testNetns();
  const socket = opened({ netns: netns.fd, receiveBuffer: 1 });
  try {
    socket.request(Array.from({ length: 500 }, () => nobody));
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "unavailable", errno: ENOBUFS, remedy: "read the state again" });
  }
  // What was left in the buffer belongs to older sequence numbers.
  socket.drain();
  expect(socket.request([nobody])[0]?.error?.errno).toBe(19);
});

test("only the kernel is believed", () => {
  const netns = testNetns();
  const socket = opened({ netns: netns.fd });
  socket.request([getLo]);
  const forger = inNetns(netns.fd, () => openSocket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  const forged = encodeAcknowledgement({ errno: EEXIST }, { length: 0, type: 0, flags: 0, sequence: 2 });
  const writer = new ByteWriter();
  encodeMessage(writer, { type: NLMSG_ERROR, ...forged, sequence: 2, port: socket.port });
  const address = new ByteWriter(12).u16(AF_NETLINK).u16(0).u32(socket.port).u32(0).bytes();
  expect(trySend(forger, writer.bytes(), 0, address)).toBe(writer.length);
  closeFile(forger);
  // Its sequence number is the next request's.
  expect(socket.request([getLo])).toMatchObject([{ acknowledged: true, replies: [{ sequence: 2 }] }]);
});

test("a dump that changes underneath is repeated and counted", async () => {
  const netns = testNetns();
  netns.rtnl.do({ op: "link.add", spec: { name: "br0", kind: { type: "bridge" } } });
  const device = netns.indexOf("br0");
  const address = (number: number) =>
    encodeAddress({ device, address: parseAddress(`10.0.${number >> 8}.${number & 255}`), length: 32, scope: "host" });
  const socket = opened({ netns: netns.fd });
  const requests = Array.from({ length: 1000 }, (_, number) => ({
    type: RTM_NEWADDR,
    flags: NLM_F_ACK | 0x400,
    payload: address(number),
  }));
  for (let at = 0; at < requests.length; at += 100) socket.request(requests.slice(at, at + 100));
  const other = netns.enter(() => Bun.spawn(["ip", "-force", "-batch", "-"], { stdin: "pipe", stdout: "ignore" }));
  const flicker = "addr add 10.9.9.9/32 dev br0\naddr del 10.9.9.9/32 dev br0\n";
  const before = netns.rtnl.counters.retriedDumps;
  for (let round = 0; round < 2000 && netns.rtnl.counters.retriedDumps === before; round++) {
    other.stdin.write(flicker.repeat(20));
    await other.stdin.flush();
    // The thousand are always there, the one that comes and goes may be.
    const found = netns.rtnl.addresses({ device, family: 4 });
    expect(new Set(found.map((each) => each.address)).size).toBe(found.length);
    expect(found.length - 1000).toBeOneOf([0, 1]);
  }
  other.kill();
  await other.exited;
  expect(netns.rtnl.counters.retriedDumps).toBeGreaterThan(before);
}, 30_000);

test("a protocol that the kernel lacks is unsupported", () => {
  try {
    NetlinkSocket.open(31);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "unsupported", errno: EPROTONOSUPPORT });
  }
});

test("a request larger than the send buffer is refused, not cut", () => {
  const socket = opened({ netns: testNetns().fd, sendBuffer: 4096 });
  expect(() => socket.request(Array.from({ length: 5000 }, () => nobody))).toThrow("EMSGSIZE");
  expect(socket.maximumSend).toBeLessThan(20_000);
});

test("the trace shows both ways", () => {
  const lines: string[] = [];
  setTrace((line) => lines.push(line));
  const socket = opened({ netns: testNetns().fd });
  lines.length = 0;
  socket.request([nobody]);
  setTrace(undefined);
  socket.request([nobody]);
  expect(lines).toEqual(["→ route #1 RTM_NEWLINK ack: index 99 flags up (of up)", "← route #1 error ENODEV"]);
});
