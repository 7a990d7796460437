import { type Family, familyOf } from "../../base/address.ts";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { Connection, ConnectionCounters, ConnectionTuple } from "../../objects/conntrack.ts";
import { type AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import type { NetlinkRequest } from "../netlink/message.ts";
import { attributesOf, NFNL_SUBSYS_CTNETLINK, nfRequest } from "../nft/header.ts";
import { readTuple, writeTuple } from "./tuple.ts";

/** enum cntl_msg_types. */
export const IPCTNL_MSG_CT_NEW = 0;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
/** enum ctattr_type. */
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
const CTA_COUNTERS_ORIG = 9;
const CTA_COUNTERS_REPLY = 10;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_TIMESTAMP = 20;
const CTA_MARK_MASK = 21;
export const CTA_LABELS = 22;
const CTA_LABELS_MASK = 23;
/** enum ctattr_protoinfo: TCP, SCTP; within each its state comes first. */
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_SCTP = 3;
const CTA_PROTOINFO_STATE = 1;
/** enum ctattr_counters, ctattr_tstamp. */
const CTA_COUNTERS_PACKETS = 1;
const CTA_COUNTERS_BYTES = 2;
const CTA_TIMESTAMP_START = 1;
const CTA_TIMESTAMP_STOP = 2;

const AF_INET = 2;
const AF_INET6 = 10;
const protocolOf = (family: Family | undefined): number =>
  family === undefined ? 0 : family === 4 ? AF_INET : AF_INET6;

export interface ConnectionMark {
  readonly value: number;
  readonly mask: number;
}

/** Reads the table. The kernel filters by family and, where asked, by mark. */
export const dumpConnections = (family?: Family, mark?: ConnectionMark): NetlinkRequest =>
  nfRequest(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, protocolOf(family), 0, (attributes) => {
    if (mark !== undefined) attributes.u32be(CTA_MARK, mark.value).u32be(CTA_MARK_MASK, mark.mask);
  });

/** Of four words in host order, as in Connection.labels. */
export type LabelWords = readonly [number, number, number, number];

/**
 * Changes the label of a connection that is there: bits of `mask` become those of `value`, the others stay. ENOENT when it has gone, ENOSPC
 * for one that has no room for a label: it began before any rule of its namespace asked for labels.
 * @param value no bits beyond `mask`: the kernel would turn them over (nf_connlabels_replace, net/netfilter/nf_conntrack_labels.c).
 */
export const setConnectionLabels = (
  original: ConnectionTuple,
  zone: number | undefined,
  value: LabelWords,
  mask: LabelWords,
): NetlinkRequest =>
  byTuple(IPCTNL_MSG_CT_NEW, original, zone, undefined, (attributes) => {
    writeLabels(
      attributes,
      CTA_LABELS,
      value.map((word, at) => (word & (mask[at] ?? 0)) >>> 0),
    );
    writeLabels(attributes, CTA_LABELS_MASK, mask);
  });

/** One connection, by its original tuple. ENOENT when there is none. */
export const getConnection = (original: ConnectionTuple, zone?: number): NetlinkRequest =>
  byTuple(IPCTNL_MSG_CT_GET, original, zone);

/** @param id only the connection with that id: another with the same tuple is ENOENT. */
export const deleteConnection = (original: ConnectionTuple, zone?: number, id?: number): NetlinkRequest =>
  byTuple(IPCTNL_MSG_CT_DELETE, original, zone, id);

const byTuple = (
  message: number,
  original: ConnectionTuple,
  zone?: number,
  id?: number,
  write: (attributes: AttributeWriter) => void = () => {},
): NetlinkRequest =>
  nfRequest(NFNL_SUBSYS_CTNETLINK, message, protocolOf(familyOf(original.source)), 0, (attributes) => {
    attributes.nested(CTA_TUPLE_ORIG | NLA_F_NESTED, () => writeTuple(attributes, original));
    if (zone !== undefined) attributes.u16be(CTA_ZONE, zone);
    if (id !== undefined) attributes.u32be(CTA_ID, id);
    write(attributes);
  });

function writeLabels(attributes: AttributeWriter, type: number, labels: readonly number[]): void {
  const words = new ByteWriter(16);
  for (const word of labels) words.u32(word);
  attributes.raw(type, words.bytes());
}

/** IPCTNL_MSG_CT_NEW as the kernel writes it; for tests and fakes. */
export const encodeConnection = (connection: Connection): NetlinkRequest =>
  nfRequest(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW, protocolOf(connection.family), 0, (attributes) => {
    attributes.nested(CTA_TUPLE_ORIG | NLA_F_NESTED, () => writeTuple(attributes, connection.original));
    attributes.nested(CTA_TUPLE_REPLY | NLA_F_NESTED, () => writeTuple(attributes, connection.reply));
    attributes.u32be(CTA_STATUS, connection.status);
    if (connection.timeout !== undefined) attributes.u32be(CTA_TIMEOUT, connection.timeout);
    if (connection.mark !== undefined) attributes.u32be(CTA_MARK, connection.mark);
    if (connection.zone !== undefined) attributes.u16be(CTA_ZONE, connection.zone);
    if (connection.id !== undefined) attributes.u32be(CTA_ID, connection.id);
    if (connection.labels !== undefined) writeLabels(attributes, CTA_LABELS, connection.labels);
    if (connection.counters !== undefined) {
      writeCounters(attributes, CTA_COUNTERS_ORIG, connection.counters.original);
      writeCounters(attributes, CTA_COUNTERS_REPLY, connection.counters.reply);
    }
    const { start, stop, state } = connection;
    if (start !== undefined || stop !== undefined) {
      attributes.nested(CTA_TIMESTAMP | NLA_F_NESTED, () => {
        if (start !== undefined) attributes.u64be(CTA_TIMESTAMP_START, start);
        if (stop !== undefined) attributes.u64be(CTA_TIMESTAMP_STOP, stop);
      });
    }
    if (state === undefined) return;
    const info = connection.original.protocol === 132 ? CTA_PROTOINFO_SCTP : CTA_PROTOINFO_TCP;
    attributes.nested(CTA_PROTOINFO | NLA_F_NESTED, () =>
      attributes.nested(info | NLA_F_NESTED, () => attributes.u8(CTA_PROTOINFO_STATE, state)),
    );
  });

const writeCounters = (attributes: AttributeWriter, type: number, { packets, bytes }: ConnectionCounters): void => {
  attributes.nested(type | NLA_F_NESTED, () =>
    attributes.u64be(CTA_COUNTERS_PACKETS, packets).u64be(CTA_COUNTERS_BYTES, bytes),
  );
};

/** What a conntrack message is, by nlmsg_type and flags; undefined for another subsystem's or an expectation. */
export function connectionMessage(type: number, flags: number): "new" | "update" | "destroy" | undefined {
  if (type >> 8 !== NFNL_SUBSYS_CTNETLINK) return undefined;
  if ((type & 0xff) === IPCTNL_MSG_CT_DELETE) return "destroy";
  // A new connection is announced with NLM_F_CREATE | NLM_F_EXCL, a changed one without.
  if ((type & 0xff) === IPCTNL_MSG_CT_NEW) return (flags & 0x600) !== 0 ? "new" : "update";
  return undefined;
}

/** @throws TwillError `corrupt`. */
export function decodeConnection(payload: Uint8Array): Connection {
  const attributes = attributesOf(payload);
  let original: ConnectionTuple | undefined;
  let reply: ConnectionTuple | undefined;
  let counted: ConnectionCounters | undefined;
  let countedBack: ConnectionCounters | undefined;
  const found: { -readonly [K in keyof Connection]?: Connection[K] } = {};
  while (attributes.next()) {
    switch (attributes.type) {
      case CTA_TUPLE_ORIG:
        original = readTuple(attributes.nested());
        break;
      case CTA_TUPLE_REPLY:
        reply = readTuple(attributes.nested());
        break;
      case CTA_STATUS:
        found.status = attributes.u32be();
        break;
      case CTA_PROTOINFO: {
        const state = readState(attributes.nested());
        if (state !== undefined) found.state = state;
        break;
      }
      case CTA_TIMEOUT:
        found.timeout = attributes.u32be();
        break;
      case CTA_MARK:
        found.mark = attributes.u32be();
        break;
      case CTA_COUNTERS_ORIG:
        counted = readCounters(attributes.nested());
        break;
      case CTA_COUNTERS_REPLY:
        countedBack = readCounters(attributes.nested());
        break;
      case CTA_ID:
        found.id = attributes.u32be();
        break;
      case CTA_ZONE:
        found.zone = attributes.u16be();
        break;
      case CTA_TIMESTAMP: {
        const inner = attributes.nested();
        while (inner.next()) {
          if (inner.type === CTA_TIMESTAMP_START) found.start = inner.u64be();
          else if (inner.type === CTA_TIMESTAMP_STOP) found.stop = inner.u64be();
        }
        break;
      }
      case CTA_LABELS: {
        const reader = new ByteReader(attributes.bytes());
        found.labels = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
        break;
      }
    }
  }
  if (original === undefined || reply === undefined) {
    throw new TwillError("corrupt", "a conntrack entry lacks one of its directions");
  }
  if (counted !== undefined && countedBack !== undefined) found.counters = { original: counted, reply: countedBack };
  const { status = 0, ...rest } = found;
  return { ...rest, family: familyOf(original.source), original, reply, status };
}

/** Only the id, without looking at the rest: most events' ends are of connections that nobody asked about. @throws TwillError `corrupt`. */
export function connectionIdOf(payload: Uint8Array): number | undefined {
  const attributes = attributesOf(payload);
  while (attributes.next()) if (attributes.type === CTA_ID) return attributes.u32be();
  return undefined;
}

function readState(attributes: AttributeReader): number | undefined {
  let state: number | undefined;
  while (attributes.next()) {
    if (attributes.type !== CTA_PROTOINFO_TCP && attributes.type !== CTA_PROTOINFO_SCTP) continue;
    const inner = attributes.nested();
    while (inner.next()) if (inner.type === CTA_PROTOINFO_STATE) state = inner.u8();
  }
  return state;
}

function readCounters(attributes: AttributeReader): ConnectionCounters {
  let packets = 0n;
  let bytes = 0n;
  while (attributes.next()) {
    if (attributes.type === CTA_COUNTERS_PACKETS) packets = attributes.u64be();
    else if (attributes.type === CTA_COUNTERS_BYTES) bytes = attributes.u64be();
  }
  return { packets, bytes };
}
