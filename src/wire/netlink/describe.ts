import { hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { decodeAcknowledgement, decodeDone } from "./acknowledgement.ts";
import { type AttributeTable, describeAttributes } from "./describe-attributes.ts";
import {
  decodeMessages,
  HEADER_LENGTH,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_DUMP_FILTERED,
  NLM_F_DUMP_INTR,
  NLM_F_ECHO,
  NLM_F_EXCL,
  NLM_F_MULTI,
  NLM_F_REPLACE,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from "./message.ts";

export type Direction = "in" | "out";

/** How messages of one type are put into words. */
export interface MessageFormat {
  /** As in the kernel's header: "RTM_NEWLINK". */
  readonly name: string;
  /** NLM_F_* from 0x100 on mean something else in requests that read. */
  readonly reads?: boolean;
  /** Bytes of the family header before the attributes. */
  readonly headerLength: number;
  /** The header in words. @param header its bytes, complete. */
  readonly header: (header: Uint8Array) => string;
  readonly attributes: AttributeTable;
}

const formats = new Map<number, ReadonlyMap<number, MessageFormat>>();
const protocolNames = new Map<number, string>();

/** Tells how the messages of a protocol (NETLINK_ROUTE, NETLINK_NETFILTER) read, by type. */
export function registerFormats(protocol: number, name: string, types: ReadonlyMap<number, MessageFormat>): void {
  protocolNames.set(protocol, name);
  formats.set(protocol, new Map([...(formats.get(protocol) ?? []), ...types]));
}

export interface DescribeOptions {
  /** "EEXIST" for 17. */
  readonly errnoName: (errno: number) => string;
}

/** One line a message: direction, protocol, type, flags, sequence number, header and attributes in words. Never throws. */
export function describeDatagram(
  direction: Direction,
  protocol: number,
  datagram: Uint8Array,
  options: DescribeOptions,
): string[] {
  const start = `${direction === "out" ? "→" : "←"} ${protocolNames.get(protocol) ?? `netlink ${protocol}`}`;
  try {
    return decodeMessages(datagram).map((message) => `${start} ${describeMessage(protocol, message, options)}`);
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    return [`${start} unreadable (${error.message}): ${hex(datagram)}`];
  }
}

function describeMessage(protocol: number, message: NetlinkMessage, { errnoName }: DescribeOptions): string {
  const number = `#${message.sequence}`;
  const format = formats.get(protocol)?.get(message.type);
  if (message.type === NLMSG_NOOP) return `${number} noop`;
  if (message.type === NLMSG_OVERRUN) return `${number} overrun`;
  if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
    const isDone = message.type === NLMSG_DONE;
    const { errno, message: text, offset } = isDone ? decodeDone(message) : decodeAcknowledgement(message);
    const result = errno === 0 ? (isDone ? "done" : "ack") : `error ${errnoName(errno)}`;
    const where = offset === undefined ? "" : ` at payload byte ${offset - HEADER_LENGTH}`;
    return `${number} ${result}${text === undefined ? "" : ` "${text}"`}${where}`;
  }
  const words = [number, format?.name ?? `type ${message.type}`, ...flagNames(message.flags, format?.reads === true)];
  const { payload } = message;
  if (format === undefined || payload.length < format.headerLength) return `${words.join(" ")}: ${hex(payload)}`;
  const header = format.header(payload.subarray(0, format.headerLength));
  const attributes = describeAttributes(payload, format.headerLength, format.attributes);
  return `${words.join(" ")}: ${[header, attributes].filter((part) => part !== "").join("; ")}`;
}

const commonFlags: readonly (readonly [number, string])[] = [
  [NLM_F_MULTI, "multi"],
  [NLM_F_ACK, "ack"],
  [NLM_F_ECHO, "echo"],
  [NLM_F_DUMP_INTR, "interrupted"],
  [NLM_F_DUMP_FILTERED, "filtered"],
];
const changeFlags: readonly (readonly [number, string])[] = [
  [NLM_F_REPLACE, "replace"],
  [NLM_F_EXCL, "excl"],
  [NLM_F_CREATE, "create"],
  [NLM_F_APPEND, "append"],
];

function flagNames(flags: number, reads: boolean): string[] {
  const names = commonFlags.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  if (!reads) names.push(...changeFlags.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name));
  else if ((flags & NLM_F_DUMP) === NLM_F_DUMP) names.push("dump");
  return names;
}

type Trace = (direction: Direction, protocol: number, datagram: Uint8Array) => void;

let trace: Trace | undefined;

/** Hands each datagram of every netlink socket of this thread to `to`; undefined switches it off. */
export function setNetlinkTrace(to: Trace | undefined): void {
  trace = to;
}

/** Called by the sockets. Costs one comparison while nobody listens. */
export function traceNetlink(direction: Direction, protocol: number, datagram: Uint8Array): void {
  trace?.(direction, protocol, datagram);
}
