import { ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";
import { type Acknowledgement, decodeAcknowledgement, decodeDone } from "../wire/netlink/acknowledgement.ts";
import { traceNetlink } from "../wire/netlink/describe.ts";
import {
  decodeMessages,
  encodeMessage,
  HEADER_LENGTH,
  type NetlinkMessage,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from "../wire/netlink/message.ts";
import { EAGAIN, EINTR, ENOBUFS, errnoError } from "./errno.ts";
import { closeFile } from "./file.ts";
import { traceFromEnvironment } from "./netlink-trace.ts";
import { inNetns } from "./netns.ts";
import {
  AF_NETLINK,
  bindSocket,
  getOption,
  MSG_DONTWAIT,
  MSG_TRUNC,
  openSocket,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
  setOption,
  setTimeouts,
  socketName,
  tryReceiveFrom,
  trySend,
  trySetOption,
} from "./socket.ts";

/** include/uapi/linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const sendTimeout = 10_000;
/** How often a dump that changed underneath (NLM_F_DUMP_INTR) is repeated before the caller is told to come back. */
const dumpAttempts = 64;

/**
 * One buffer for all sockets: nothing here yields between receiving and copying. The kernel builds dump messages as
 * large as the reader's buffer, up to 32 KiB (netlink_recvmsg), and single answers as large as they need.
 */
let receiveBuffer = new Uint8Array(256 * 1024);
const sender = new Uint8Array(12);
const senderView = new DataView(sender.buffer);
const senderLength = new Uint32Array(1);

export interface NetlinkSocketOptions {
  /** Open inside this namespace (descriptor); the socket stays there. */
  readonly netns?: number;
  /** Multicast groups to join, by number (not as a mask). */
  readonly groups?: readonly number[];
  /** Wanted bytes; the kernel doubles them. Beyond net.core.rmem_max only with CAP_NET_ADMIN, else clipped. */
  readonly receiveBuffer?: number;
  /** Also the bound of one send: a larger one fails with EMSGSIZE. */
  readonly sendBuffer?: number;
  /** Shown in errors and traces: "rtnetlink". */
  readonly name?: string;
}

/** What came back for one message of a request. */
export interface NetlinkResult {
  /** The kernel's refusal. Absent: done. */
  readonly error?: Acknowledgement;
  /** Messages that answered it, without the acknowledgement. */
  readonly replies: readonly NetlinkMessage[];
  /** False when a message that asked for an acknowledgement got none (behind an aborted batch). */
  readonly acknowledged: boolean;
}

export interface RequestOptions {
  /**
   * The messages are one transaction (nf_tables): the kernel may stop answering at the first error. A missing
   * acknowledgement is then reported by `acknowledged: false` instead of an exception.
   */
  readonly batch?: boolean;
}

/**
 * A netlink socket of any protocol, for requests. Synchronous: rtnetlink and nfnetlink handle a message inside the
 * sender's system call, and each further part of a dump inside the receiver's, so an answer is there when send returns
 * and nothing here ever waits. "Nothing to read" with answers missing is therefore an error, not a reason to block.
 */
export class NetlinkSocket {
  readonly fd: number;
  readonly name: string;
  readonly protocol: number;
  /** Bytes that one send may hold, as the kernel granted them. */
  readonly maximumSend: number;
  #sequence = 0;
  #interruptedDumps = 0;
  #closed = false;
  readonly #writer = new ByteWriter(16 * 1024);

  private constructor(fd: number, protocol: number, name: string, maximumSend: number) {
    this.fd = fd;
    this.protocol = protocol;
    this.name = name;
    this.maximumSend = maximumSend;
  }

  /** @throws TwillError; `unsupported` where the kernel lacks the protocol. */
  static open(protocol: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
    const name = options.name ?? `netlink ${protocol}`;
    const { netns } = options;
    const open = () => openSocket(AF_NETLINK, SOCK_RAW, protocol, { nonBlocking: false });
    const fd = netns === undefined ? open() : inNetns(netns, open);
    try {
      trySetOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      trySetOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      // Kernel 4.20. Without it filters of dumps are ignored, so callers filter once more.
      trySetOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
      const receive = options.receiveBuffer ?? 4 * 1024 * 1024;
      const send = options.sendBuffer ?? 4 * 1024 * 1024;
      if (!trySetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive)) trySetOption(fd, SOL_SOCKET, SO_RCVBUF, receive);
      if (!trySetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, send)) trySetOption(fd, SOL_SOCKET, SO_SNDBUF, send);
      setTimeouts(fd, sendTimeout);
      // nl_pid 0: the kernel picks a free port.
      bindSocket(fd, kernelAddress, { object: name });
      const socket = new NetlinkSocket(fd, protocol, name, getOption(fd, SOL_SOCKET, SO_SNDBUF));
      for (const group of options.groups ?? []) socket.join(group);
      return socket;
    } catch (error) {
      closeFile(fd);
      throw error;
    }
  }

  /** Listens to a multicast group, by number, from now on. @throws TwillError. */
  join(group: number): void {
    setOption(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /** Port (nl_pid) of this socket: notifications of our own changes carry it. */
  get port(): number {
    return new DataView(socketName(this.fd).slice().buffer).getUint32(4, true);
  }

  /** Dumps that had to be repeated because the tables changed underneath. */
  get interruptedDumps(): number {
    return this.#interruptedDumps;
  }

  /**
   * Sends all messages in one datagram and collects what comes back. NLM_F_REQUEST is added; a message is waited for
   * when its flags ask for an acknowledgement (NLM_F_ACK). Results stand in the order of the messages.
   *
   * The kernel handles the messages one after another and goes on behind a refused one (except inside an nf_tables
   * batch). Every acknowledgement occupies about 1 KiB of the receive buffer, and when that is full they are lost:
   * split at a few thousand.
   * @throws TwillError `unavailable` with ENOBUFS when answers were lost: the state is unknown, read it again.
   */
  request(messages: readonly NetlinkRequest[], options: RequestOptions = {}): NetlinkResult[] {
    const first = this.#send(messages);
    const results = messages.map(({ flags }): Collected => ({ acknowledged: (flags & NLM_F_ACK) === 0, replies: [] }));
    let missing = results.filter((result) => !result.acknowledged).length;
    while (missing > 0) {
      const answers = this.#receive();
      if (answers === undefined) break;
      for (const answer of answers) {
        const result = results[(answer.sequence - first) >>> 0];
        if (result === undefined) continue; // left over from a request that failed half-way
        if (answer.type !== NLMSG_ERROR) {
          result.replies.push(answer);
          continue;
        }
        const acknowledgement = decodeAcknowledgement(answer);
        if (acknowledgement.errno !== 0) result.error = acknowledgement;
        if (!result.acknowledged) {
          result.acknowledged = true;
          missing--;
        }
      }
    }
    if (missing > 0 && options.batch !== true) {
      throw new TwillError("unavailable", `${missing} of ${messages.length} requests were not answered`, {
        operation: "ask the kernel",
        object: this.name,
        remedy: "read the state again and repeat",
      });
    }
    return results;
  }

  /**
   * Reads a table (NLM_F_DUMP is added). Repeated as a whole when the kernel says that it changed meanwhile.
   * @returns the payloads, each a view on a buffer of its datagram that nobody overwrites.
   * @throws TwillError; errors of the request itself carry errno. `unavailable` when it kept changing.
   */
  dump(message: NetlinkRequest): Uint8Array[] {
    for (let attempt = 0; attempt < dumpAttempts; attempt++) {
      const payloads = this.#dumpOnce(message);
      if (payloads !== undefined) return payloads;
      this.#interruptedDumps++;
    }
    throw new TwillError("unavailable", `the table changed during each of ${dumpAttempts} dumps`, {
      operation: "dump",
      object: this.name,
      remedy: "try again when the node is less busy",
    });
  }

  #dumpOnce(message: NetlinkRequest): Uint8Array[] | undefined {
    const sequence = this.#send([{ ...message, flags: message.flags | NLM_F_DUMP }]);
    const payloads: Uint8Array[] = [];
    let interrupted = false;
    try {
      for (;;) {
        const answers = this.#receive();
        if (answers === undefined) {
          throw new TwillError("unavailable", "the dump ended without its end", {
            operation: "dump",
            object: this.name,
          });
        }
        for (const answer of answers) {
          if (answer.sequence !== sequence) continue;
          if ((answer.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
          if (answer.type === NLMSG_DONE || answer.type === NLMSG_ERROR) {
            const end = answer.type === NLMSG_DONE ? decodeDone(answer) : decodeAcknowledgement(answer);
            // nf_tables reports a change during the dump as EINTR at its end.
            if (end.errno === EINTR) return undefined;
            if (end.errno !== 0) throw acknowledgementError(end, { operation: "dump", object: this.name });
            return interrupted ? undefined : payloads;
          }
          payloads.push(answer.payload);
        }
      }
    } catch (error) {
      // A dump left half-read would make the next one fail with EBUSY.
      this.drain();
      throw error;
    }
  }

  /** Throws away what is left to read. */
  drain(): void {
    for (let count = 0; count < 100_000; count++) {
      const result = tryReceiveFrom(this.fd, receiveBuffer, MSG_DONTWAIT, sender, senderLength);
      if (result === -EAGAIN) return;
    }
  }

  /**
   * What has arrived without being asked for (multicast), at most one datagram; undefined when there is nothing.
   * @throws TwillError `unavailable` with ENOBUFS when messages were lost.
   */
  receive(): NetlinkMessage[] | undefined {
    return this.#receive();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
  }

  /** @returns the sequence number of the first message. */
  #send(messages: readonly NetlinkRequest[]): number {
    const writer = this.#writer;
    writer.reset();
    const first = (this.#sequence + 1) >>> 0;
    for (const message of messages) {
      this.#sequence = (this.#sequence + 1) >>> 0;
      const flags = message.flags | NLM_F_REQUEST;
      encodeMessage(writer, { ...message, flags, sequence: this.#sequence, port: 0 });
    }
    const bytes = writer.view();
    traceNetlink("out", this.protocol, bytes);
    const result = trySend(this.fd, bytes, 0, kernelAddress);
    if (result < 0) {
      throw errnoError(-result, {
        operation: "ask the kernel",
        object: this.name,
        detail: `${messages.length} messages, ${bytes.length} bytes`,
      });
    }
    return first;
  }

  #receive(): NetlinkMessage[] | undefined {
    for (;;) {
      const length = tryReceiveFrom(this.fd, receiveBuffer, MSG_DONTWAIT | MSG_TRUNC, sender, senderLength);
      if (length === -EAGAIN) return undefined;
      if (length === -ENOBUFS) {
        throw errnoError(ENOBUFS, {
          operation: "receive",
          object: this.name,
          detail: "the kernel had more to say than the receive buffer holds, and messages were lost",
          remedy: "read the state again",
        });
      }
      if (length < 0) throw errnoError(-length, { operation: "receive", object: this.name });
      // Any process may send to our port; only the kernel has port 0.
      if (senderView.getUint32(4, true) !== 0) continue;
      if (length > receiveBuffer.length) {
        const had = receiveBuffer.length;
        receiveBuffer = new Uint8Array(length * 2);
        throw new TwillError("unavailable", `an answer of ${length} bytes did not fit into ${had}`, {
          operation: "receive",
          object: this.name,
          remedy: "try again: the buffer has grown",
        });
      }
      // By way of an ArrayBuffer, which readers need: asking a small array for it afterwards copies once more.
      const datagram = new Uint8Array(receiveBuffer.buffer.slice(0, length));
      traceNetlink("in", this.protocol, datagram);
      const messages = decodeMessages(datagram).filter((message) => message.type !== NLMSG_NOOP);
      if (messages.some((message) => message.type === NLMSG_OVERRUN)) {
        throw errnoError(ENOBUFS, { operation: "receive", object: this.name, remedy: "read the state again" });
      }
      return messages;
    }
  }
}

/** A NetlinkResult that is still being put together. */
interface Collected {
  acknowledged: boolean;
  error?: Acknowledgement;
  readonly replies: NetlinkMessage[];
}

/** struct sockaddr_nl with port and groups 0: the kernel itself, and "any port" to bind. */
const kernelAddress = new ByteWriter(12).u16(AF_NETLINK).zero(10).bytes();

traceFromEnvironment(process.env);

/** A refusal as an error, the kernel's own words included. */
export function acknowledgementError(
  acknowledgement: Acknowledgement,
  details: { readonly operation: string; readonly object?: string; readonly remedy?: string },
): TwillError {
  const { errno, message, offset, missing } = acknowledgement;
  const parts = [
    message,
    missing === undefined ? undefined : `attribute ${missing} is missing`,
    message !== undefined || offset === undefined ? undefined : `at byte ${offset - HEADER_LENGTH} of the payload`,
  ];
  const detail = parts.filter((part) => part !== undefined).join(", ");
  return errnoError(errno, { ...details, detail });
}
