import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { LoggedPacket } from "../../objects/nflog.ts";
import type { AttributeWriter } from "../netlink/attributes.ts";
import type { NetlinkRequest } from "../netlink/message.ts";
import { attributesOf, NFNL_SUBSYS_ULOG, nfRequest, readHeader } from "../nft/header.ts";

/** linux/netfilter/nfnetlink_log.h: enum nfulnl_msg_types, nfulnl_attr_type. */
const NFULNL_MSG_PACKET = 0;
const NFULA_PACKET_HDR = 1;
const NFULA_MARK = 2;
const NFULA_TIMESTAMP = 3;
const NFULA_IFINDEX_INDEV = 4;
const NFULA_IFINDEX_OUTDEV = 5;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
const NFULA_SEQ = 12;

const microsecondsPerSecond = 1_000_000n;
const [AF_INET, AF_INET6] = [2, 10];

/** By nlmsg_type. */
export const isLoggedPacket = (type: number): boolean => type === NFNL_SUBSYS_ULOG * 256 + NFULNL_MSG_PACKET;

/** @throws TwillError `corrupt`. */
export function decodeLoggedPacket(message: Uint8Array): LoggedPacket {
  const { protocol, resource: group } = readHeader(message);
  const attributes = attributesOf(message);
  let header: { readonly etherType: number; readonly hook: number } | undefined;
  const found: { -readonly [K in keyof LoggedPacket]?: LoggedPacket[K] } = {};
  if (protocol === AF_INET) found.family = 4;
  else if (protocol === AF_INET6) found.family = 6;
  while (attributes.next()) {
    switch (attributes.type) {
      case NFULA_PACKET_HDR: {
        // struct nfulnl_msg_packet_hdr: hw_protocol (be16), hook (u8), padding.
        const reader = new ByteReader(attributes.bytes());
        header = { etherType: reader.u16be(), hook: reader.u8() };
        break;
      }
      case NFULA_MARK:
        found.mark = attributes.u32be();
        break;
      case NFULA_TIMESTAMP: {
        // struct nfulnl_msg_packet_timestamp: seconds and microseconds, be64 each.
        const reader = new ByteReader(attributes.bytes());
        found.time = BigInt.asUintN(64, reader.u64be() * microsecondsPerSecond + reader.u64be());
        break;
      }
      case NFULA_IFINDEX_INDEV:
        found.inputDevice = attributes.u32be();
        break;
      case NFULA_IFINDEX_OUTDEV:
        found.outputDevice = attributes.u32be();
        break;
      case NFULA_PAYLOAD:
        found.payload = attributes.bytes();
        break;
      case NFULA_PREFIX:
        found.prefix = attributes.string();
        break;
      case NFULA_SEQ:
        found.sequence = attributes.u32be();
        break;
    }
  }
  if (header === undefined) throw new TwillError("corrupt", "a logged packet lacks its header");
  const { mark = 0, payload = new Uint8Array(0), ...rest } = found;
  return { ...rest, ...header, group, mark, payload };
}

/** NFULNL_MSG_PACKET as the kernel writes it; for tests. */
export function encodeLoggedPacket(packet: LoggedPacket): NetlinkRequest {
  const { family, group, etherType, hook, mark, inputDevice, outputDevice, prefix, time, sequence, payload } = packet;
  const protocol = family === undefined ? 0 : family === 4 ? AF_INET : AF_INET6;
  const write = (attributes: AttributeWriter) => {
    attributes.raw(NFULA_PACKET_HDR, new ByteWriter(4).u16be(etherType).u8(hook).u8(0).bytes());
    if (prefix !== undefined) attributes.string(NFULA_PREFIX, prefix);
    if (inputDevice !== undefined) attributes.u32be(NFULA_IFINDEX_INDEV, inputDevice);
    if (outputDevice !== undefined) attributes.u32be(NFULA_IFINDEX_OUTDEV, outputDevice);
    if (mark !== 0) attributes.u32be(NFULA_MARK, mark);
    if (time !== undefined) {
      const stamp = new ByteWriter(16).u64be(time / microsecondsPerSecond).u64be(time % microsecondsPerSecond);
      attributes.raw(NFULA_TIMESTAMP, stamp.bytes());
    }
    if (sequence !== undefined) attributes.u32be(NFULA_SEQ, sequence);
    attributes.raw(NFULA_PAYLOAD, payload);
  };
  return nfRequest(NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET, protocol, 0, write, group);
}
