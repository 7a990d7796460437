import { expect, test } from "bun:test";
import { fuzz, golden } from "../../../test/support/fuzz.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { decodeAcknowledgement, decodeDone, encodeAcknowledgement } from "./acknowledgement.ts";
import { decodeMessages, encodeMessage, type NetlinkMessage } from "./message.ts";

/** The kernel's answer to RTM_GETNSID: one datagram with the reply, then one with the acknowledgement; put together here. */
const answer = golden(`
  1c000000 // nlmsg_len 28
  5800     // nlmsg_type RTM_NEWNSID (88)
  0000     // nlmsg_flags
  0f000000 // nlmsg_seq 15
  42310000 // nlmsg_pid 12610, the port of the asking socket
  00000000 // rtgenmsg: family, padded
  0800     // nla_len 8
  0100     // nla_type NETNSA_NSID
  ffffffff // -1, not assigned
  24000000 // nlmsg_len 36
  0200     // nlmsg_type NLMSG_ERROR
  0001     // nlmsg_flags NLM_F_CAPPED (0x100)
  0f000000 // nlmsg_seq 15
  42310000 // nlmsg_pid
  00000000 // error 0: acknowledged
  1c000000 // the request's header: nlmsg_len 28
  5a00     // RTM_GETNSID (90)
  0500     // NLM_F_REQUEST | NLM_F_ACK
  0f000000 // seq 15
  00000000 // pid 0, as sent
`);

/** A route with a gateway that no interface reaches, refused: NLMSG_ERROR with extended acknowledgement. */
const refusal = golden(`
  44000000 // nlmsg_len 68
  0200     // nlmsg_type NLMSG_ERROR
  0003     // nlmsg_flags NLM_F_CAPPED | NLM_F_ACK_TLVS (0x200)
  10000000 // nlmsg_seq 16
  42310000 // nlmsg_pid
  9bffffff // error -101, ENETUNREACH
  34000000 // the request's header: nlmsg_len 52
  1800     // RTM_NEWROUTE (24)
  0506     // NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
  10000000 // seq 16
  00000000 // pid
  2000     // nla_len 32
  0100     // NLMSGERR_ATTR_MSG
  4e657874686f702068617320696e76616c6964206761746577617900 // "Nexthop has invalid gateway" and NUL
`);

/** The same without NETLINK_CAP_ACK: the request's 36 bytes of payload come back before the attributes. */
const uncapped = golden(`
  68000000 0200 0002 10000000 42310000 // NLM_F_ACK_TLVS alone
  9bffffff 34000000 1800 0506 10000000 00000000
  02100000fe540001 00000000 080001000a3c0000 08000f00fe000000 080005000a4d0001 // rtmsg and its attributes
  2000 0100 4e657874686f702068617320696e76616c6964206761746577617900
`);

/** The end of a dump. */
const done = golden(`
  14000000 // nlmsg_len 20
  0300     // nlmsg_type NLMSG_DONE
  0200     // nlmsg_flags NLM_F_MULTI
  0a000000 // nlmsg_seq 10
  42310000 // nlmsg_pid
  00000000 // 0: nothing went wrong
`);

function only(datagram: Uint8Array): NetlinkMessage {
  const [message, ...rest] = decodeMessages(datagram);
  if (message === undefined || rest.length > 0) throw new Error("one message was expected");
  return message;
}

function encodeAll(messages: readonly NetlinkMessage[]): Uint8Array {
  const writer = new ByteWriter();
  for (const message of messages) encodeMessage(writer, message);
  return writer.bytes();
}

test("a datagram of two messages, as the kernel sends them", () => {
  const messages = decodeMessages(answer);
  expect(messages.map(({ type, flags, sequence, port }) => [type, flags, sequence, port])).toEqual([
    [88, 0, 15, 12610],
    [2, 0x100, 15, 12610],
  ]);
  expect(encodeAll(messages)).toEqual(answer);
});

test("acknowledgement, refusal with the kernel's words, end of a dump", () => {
  expect(decodeAcknowledgement(decodeMessages(answer)[1] ?? only(done))).toEqual({ errno: 0 });
  const expected = { errno: 101, message: "Nexthop has invalid gateway" };
  expect(decodeAcknowledgement(only(refusal))).toEqual(expected);
  expect(decodeAcknowledgement(only(uncapped))).toEqual(expected);
  expect(decodeDone(only(done))).toEqual({ errno: 0 });
  // Some families end a dump without any payload.
  expect(decodeDone({ flags: 2, payload: new Uint8Array(0) })).toEqual({ errno: 0 });
});

test("padding of the last message may be missing", () => {
  const messages = [{ type: 16, flags: 1, sequence: 1, port: 0, payload: Uint8Array.from([1, 2, 3, 4, 5]) }];
  const padded = encodeAll(messages);
  expect(padded.length).toBe(24);
  expect(decodeMessages(padded)).toEqual(messages);
  expect(decodeMessages(padded.subarray(0, 21))).toEqual(messages);
});

test("fuzz: datagrams", () => {
  fuzz([answer, refusal, uncapped, done], decodeMessages, encodeAll);
});

test("fuzz: acknowledgements", () => {
  const request = { length: 52, type: 24, flags: 0x605, sequence: 16 };
  fuzz(
    [answer.slice(28), refusal, uncapped].map((datagram) => only(datagram).payload),
    (payload) => decodeAcknowledgement({ flags: 0x300, payload }),
    (value) => encodeAcknowledgement(value, request).payload,
  );
});
