import { type Address, addressFromBytes, bytesOf, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import type { ConnectionTuple } from "../../objects/conntrack.ts";
import { type AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";

/** enum ctattr_tuple. */
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
/** enum ctattr_ip. */
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
/** enum ctattr_l4proto. */
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
/** Id, type and code stand together, at 4 for ICMP and at 7 for ICMPv6. */
const CTA_PROTO_ICMP_ID = 4;
const CTA_PROTO_ICMPV6_ID = 7;
const ICMPV6 = 58;

/** The inside of CTA_TUPLE_ORIG or CTA_TUPLE_REPLY. */
export function writeTuple(attributes: AttributeWriter, tuple: ConnectionTuple): void {
  const [source, destination] =
    familyOf(tuple.source) === 4 ? [CTA_IP_V4_SRC, CTA_IP_V4_DST] : [CTA_IP_V6_SRC, CTA_IP_V6_DST];
  attributes.nested(CTA_TUPLE_IP | NLA_F_NESTED, () =>
    attributes.raw(source, bytesOf(tuple.source)).raw(destination, bytesOf(tuple.destination)),
  );
  attributes.nested(CTA_TUPLE_PROTO | NLA_F_NESTED, () => {
    attributes.u8(CTA_PROTO_NUM, tuple.protocol);
    if (tuple.sourcePort !== undefined) attributes.u16be(CTA_PROTO_SRC_PORT, tuple.sourcePort);
    if (tuple.destinationPort !== undefined) attributes.u16be(CTA_PROTO_DST_PORT, tuple.destinationPort);
    if (tuple.icmp === undefined) return;
    const first = tuple.protocol === ICMPV6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID;
    attributes
      .u16be(first, tuple.icmp.id)
      .u8(first + 1, tuple.icmp.type)
      .u8(first + 2, tuple.icmp.code);
  });
}

/** @throws TwillError `corrupt` when addresses or protocol are missing, or are of two families. */
export function readTuple(attributes: AttributeReader): ConnectionTuple {
  let source: Address | undefined;
  let destination: Address | undefined;
  let rest: Omit<ConnectionTuple, "source" | "destination"> | undefined;
  while (attributes.next()) {
    if (attributes.type === CTA_TUPLE_IP) {
      const inner = attributes.nested();
      while (inner.next()) {
        if (inner.type === CTA_IP_V4_SRC || inner.type === CTA_IP_V6_SRC) source = addressFromBytes(inner.bytes());
        else if (inner.type === CTA_IP_V4_DST || inner.type === CTA_IP_V6_DST) {
          destination = addressFromBytes(inner.bytes());
        }
      }
    } else if (attributes.type === CTA_TUPLE_PROTO) rest = readProtocol(attributes.nested());
  }
  if (source === undefined || destination === undefined || rest === undefined) {
    throw new TwillError("corrupt", "a conntrack tuple lacks an address or its protocol");
  }
  if (familyOf(source) !== familyOf(destination)) {
    throw new TwillError("corrupt", `a conntrack tuple leads from ${source} to ${destination}`);
  }
  return { source, destination, ...rest };
}

function readProtocol(attributes: AttributeReader): Omit<ConnectionTuple, "source" | "destination"> {
  let protocol: number | undefined;
  const ports: { sourcePort?: number; destinationPort?: number } = {};
  const icmp: { id?: number; type?: number; code?: number } = {};
  while (attributes.next()) {
    const { type } = attributes;
    if (type === CTA_PROTO_NUM) protocol = attributes.u8();
    else if (type === CTA_PROTO_SRC_PORT) ports.sourcePort = attributes.u16be();
    else if (type === CTA_PROTO_DST_PORT) ports.destinationPort = attributes.u16be();
    else if (type === CTA_PROTO_ICMP_ID || type === CTA_PROTO_ICMPV6_ID) icmp.id = attributes.u16be();
    else if (type === CTA_PROTO_ICMP_ID + 1 || type === CTA_PROTO_ICMPV6_ID + 1) icmp.type = attributes.u8();
    else if (type === CTA_PROTO_ICMP_ID + 2 || type === CTA_PROTO_ICMPV6_ID + 2) icmp.code = attributes.u8();
  }
  if (protocol === undefined) throw new TwillError("corrupt", "a conntrack tuple has no protocol");
  const { id, type, code } = icmp;
  const whole = id !== undefined && type !== undefined && code !== undefined;
  return { protocol, ...ports, ...(whole ? { icmp: { id, type, code } } : {}) };
}
