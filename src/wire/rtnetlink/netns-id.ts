import { ByteWriter } from "../../base/bytes.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { AF_UNSPEC } from "./message-types.ts";

/** Numbers that a namespace has for others: struct rtgenmsg (padded to 4 bytes), include/uapi/linux/net_namespace.h. */
const HEADER = 4;
const NETNSA_NSID = 1;
const NETNSA_FD = 3;

/** RTM_GETNSID and RTM_NEWNSID. */
export function encodeNetnsId(query: { readonly fd?: number; readonly id?: number }): Uint8Array {
  const attributes = new AttributeWriter(new ByteWriter(32).u8(AF_UNSPEC).zero(HEADER - 1));
  if (query.fd !== undefined) attributes.u32(NETNSA_FD, query.fd);
  if (query.id !== undefined) attributes.i32(NETNSA_NSID, query.id);
  return attributes.finish();
}

/** undefined: the asking namespace has no number for the other one (the kernel says −1). @throws TwillError `corrupt`. */
export function decodeNetnsId(payload: Uint8Array): number | undefined {
  const attributes = new AttributeReader(payload, HEADER);
  let id = -1;
  while (attributes.next()) if (attributes.type === NETNSA_NSID) id = attributes.i32();
  return id < 0 ? undefined : id;
}
