import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { AttributeReader, AttributeWriter } from "./attributes.ts";
import { HEADER_LENGTH, type NetlinkMessage, NLM_F_ACK_TLVS, NLM_F_CAPPED } from "./message.ts";

/** enum nlmsgerr_attrs, include/uapi/linux/netlink.h */
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;
const NLMSGERR_ATTR_MISS_TYPE = 5;

/** NLMSG_ERROR, which is the acknowledgement too (errno 0), or the result at the end of a dump (NLMSG_DONE). */
export interface Acknowledgement {
  /** Positive; 0 is success. */
  readonly errno: number;
  /** The kernel's own words, a warning when errno is 0. */
  readonly message?: string;
  /** Offset in the request, from its header's start, of the attribute that the kernel minds. */
  readonly offset?: number;
  /** Type of the attribute that the kernel misses. */
  readonly missing?: number;
}

const success: Acknowledgement = { errno: 0 };

/** @throws TwillError `corrupt`. */
export function decodeAcknowledgement(message: Pick<NetlinkMessage, "flags" | "payload">): Acknowledgement {
  const reader = new ByteReader(message.payload);
  const errno = -reader.i32();
  // By far the most: everything went well, and there is nothing to add.
  if (errno === 0 && (message.flags & NLM_F_ACK_TLVS) === 0) {
    reader.skip(HEADER_LENGTH);
    return success;
  }
  const length = reader.u32();
  reader.skip(HEADER_LENGTH - 4);
  // Without NETLINK_CAP_ACK (and on older kernels) the whole refused request stands between header and attributes.
  if (errno !== 0 && (message.flags & NLM_F_CAPPED) === 0) reader.skip(((length + 3) & ~3) - HEADER_LENGTH);
  const extended = (message.flags & NLM_F_ACK_TLVS) === 0 ? {} : decodeExtended(message.payload, reader.offset);
  return { errno: errno === 0 ? 0 : errno, ...extended };
}

/** NLMSG_DONE of a dump: an errno, then extended ack. Some families end without any payload. */
export function decodeDone(message: Pick<NetlinkMessage, "flags" | "payload">): Acknowledgement {
  if (message.payload.length < 4) return { errno: 0 };
  const errno = -new ByteReader(message.payload).i32();
  const extended = (message.flags & NLM_F_ACK_TLVS) === 0 ? {} : decodeExtended(message.payload, 4);
  return { errno: errno === 0 ? 0 : errno, ...extended };
}

function decodeExtended(payload: Uint8Array, offset: number): Omit<Acknowledgement, "errno"> {
  const found: { message?: string; offset?: number; missing?: number } = {};
  const attributes = new AttributeReader(payload, offset);
  while (attributes.next()) {
    if (attributes.type === NLMSGERR_ATTR_MSG) found.message = attributes.string();
    else if (attributes.type === NLMSGERR_ATTR_OFFS) found.offset = attributes.u32();
    else if (attributes.type === NLMSGERR_ATTR_MISS_TYPE) found.missing = attributes.u32();
  }
  return found;
}

/** As a kernel with NETLINK_CAP_ACK and NETLINK_EXT_ACK answers; for tests and fakes. */
export function encodeAcknowledgement(
  value: Acknowledgement,
  request: { readonly length: number; readonly type: number; readonly flags: number; readonly sequence: number },
): { readonly flags: number; readonly payload: Uint8Array } {
  const attributes = new AttributeWriter(
    new ByteWriter(64)
      .i32(-value.errno)
      .u32(request.length)
      .u16(request.type)
      .u16(request.flags)
      .u32(request.sequence)
      .u32(0),
  );
  const start = attributes.bytes.length;
  if (value.message !== undefined) attributes.string(NLMSGERR_ATTR_MSG, value.message);
  if (value.offset !== undefined) attributes.u32(NLMSGERR_ATTR_OFFS, value.offset);
  if (value.missing !== undefined) attributes.u32(NLMSGERR_ATTR_MISS_TYPE, value.missing);
  const flags = NLM_F_CAPPED | (attributes.bytes.length > start ? NLM_F_ACK_TLVS : 0);
  return { flags, payload: attributes.finish() };
}
