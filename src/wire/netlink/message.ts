import { ByteReader, type ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";

/**
 * Netlink's framing (RFC 3549 section 2.3.2, include/uapi/linux/netlink.h). All numbers in host order unless a family says
 * otherwise. A datagram holds any number of messages, each aligned to 4 bytes.
 */
export const HEADER_LENGTH = 16;
const ALIGNMENT = 4;

/** Types below 16 belong to netlink itself. */
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_ECHO = 0x8;
/** The kernel's tables changed while it dumped them: the result may miss or repeat entries. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP_FILTERED = 0x20;
/** Of GET requests. */
export const NLM_F_ROOT = 0x100;
export const NLM_F_MATCH = 0x200;
export const NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH;
/** Of NEW requests: the same bits with another meaning. */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** Of acknowledgements: the request's payload is left out; extended-ack attributes follow. */
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

/** What a request is: the socket adds sequence number and port. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  /** Family header and attributes. */
  readonly payload: Uint8Array;
}

export interface NetlinkMessage extends NetlinkRequest {
  readonly sequence: number;
  /** Netlink port (nlmsg_pid) of the socket that asked; 0 in notifications. */
  readonly port: number;
}

export function encodeMessage(writer: ByteWriter, message: NetlinkMessage): void {
  writer
    .u32(HEADER_LENGTH + message.payload.length)
    .u16(message.type)
    .u16(message.flags)
    .u32(message.sequence)
    .u32(message.port)
    .raw(message.payload)
    .align(ALIGNMENT);
}

/**
 * All messages of a datagram. Payloads are views on it, not copies.
 * @throws TwillError `corrupt` when a length is impossible.
 */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const reader = new ByteReader(datagram);
  const messages: NetlinkMessage[] = [];
  // The last message's padding may be left out.
  while (reader.remaining > 0) {
    const length = reader.u32();
    const type = reader.u16();
    const flags = reader.u16();
    const sequence = reader.u32();
    const port = reader.u32();
    if (length < HEADER_LENGTH) throw new TwillError("corrupt", `a netlink message cannot have ${length} bytes`);
    messages.push({ type, flags, sequence, port, payload: reader.take(length - HEADER_LENGTH) });
    reader.skip(Math.min(-length & (ALIGNMENT - 1), reader.remaining));
  }
  return messages;
}
