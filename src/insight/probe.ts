import { type Address, familyOf, unspecified } from "../base/address.ts";
import { ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS } from "../kernel/errno.ts";
import { closeFile } from "../kernel/file.ts";
import { inNetns } from "../kernel/netns.ts";
import { encodeSockaddr } from "../kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  getOption,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  setOption,
  tryConnect,
  tryReceive,
  trySend,
} from "../kernel/socket.ts";
import { protocols } from "../wire/packet.ts";

export interface ProbeRequest {
  /** Bound to it; absent: the kernel chooses. */
  readonly source?: Address;
  readonly destination: Address;
  readonly protocol: "icmp" | "tcp" | "udp";
  readonly port?: number;
  /** Of the IP packet, bytes (icmp and udp). Fragmentation is forbidden. */
  readonly size?: number;
  /** UDP: ask for the root's name servers, which a DNS server answers. */
  readonly dns?: true;
  /** Milliseconds to wait for an answer. */
  readonly timeout: number;
}

export interface ProbeOutcome {
  /** "refused": the other end's host answered that nobody listens. "error": the kernel or an ICMP error said no. */
  readonly result: "answered" | "refused" | "silence" | "error";
  /** Milliseconds. */
  readonly roundTrip?: number;
  /** errno of "error". */
  readonly errno?: number;
}

/** include/uapi/linux/in.h, in6.h: forbid fragments, and do not believe what was heard about the path before. */
const [IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE] = [10, 23, 3];
const [IPPROTO_IP, IPPROTO_IPV6] = [0, 41];
const pollMs = 2;

/**
 * One real packet, from a pod's or the node's namespace, and whether it was answered. An answer ends the wait at once.
 * @param netns open descriptor; undefined: the process's own. @throws TwillError when it cannot even be sent from there.
 */
export async function probe(netns: number | undefined, request: ProbeRequest): Promise<ProbeOutcome> {
  const inside = <T>(work: () => T): T => (netns === undefined ? work() : inNetns(netns, work));
  const start = performance.now();
  const fd = inside(() => openProbe(request));
  try {
    const first = begin(fd, request);
    if (first !== undefined) return first;
    for (;;) {
      // Looked at once more behind the end of the time: on a busy machine the last pause may have been long.
      const late = performance.now() - start >= request.timeout;
      const outcome = look(fd, request);
      if (outcome !== undefined) return { ...outcome, roundTrip: performance.now() - start };
      if (late) return { result: "silence" };
      await Bun.sleep(pollMs);
    }
  } finally {
    closeFile(fd);
  }
}

function openProbe({ source, destination, protocol }: ProbeRequest): number {
  const family = familyOf(destination);
  const domain = family === 4 ? AF_INET : AF_INET6;
  const [type, number] = {
    icmp: [SOCK_RAW, family === 4 ? protocols.icmp : protocols.icmpv6] as const,
    tcp: [SOCK_STREAM, 0] as const,
    udp: [SOCK_DGRAM, 0] as const,
  }[protocol];
  const fd = openSocket(domain, type, number, { nonBlocking: true });
  try {
    if (family === 4) setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
    else setOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
    bindSocket(fd, encodeSockaddr(source ?? unspecified(family), 0), { operation: "probe from", object: source ?? "" });
    return fd;
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** @returns the outcome when it is known already. */
function begin(fd: number, request: ProbeRequest): ProbeOutcome | undefined {
  const { destination, protocol, port = 0 } = request;
  if (protocol !== "icmp" && (port < 1 || port > 65535))
    throw new TwillError("invalid", `${port} is no port`, { operation: "probe" });
  const connected = tryConnect(fd, encodeSockaddr(destination, protocol === "icmp" ? 0 : port));
  if (connected < 0 && connected !== -EINPROGRESS) return failed(-connected);
  if (protocol === "tcp") return undefined;
  const sent = trySend(fd, payloadOf(fd, request));
  return sent < 0 ? failed(-sent) : undefined;
}

const failed = (errno: number): ProbeOutcome =>
  errno === ECONNREFUSED ? { result: "refused" } : { result: "error", errno };

function payloadOf(fd: number, request: ProbeRequest): Uint8Array {
  if (request.protocol === "icmp") return echoRequest(fd, request);
  return request.dns === true ? rootQuestion : new Uint8Array(payloadSize(request));
}

/** RFC 1035 section 4.1: id, recursion desired, one question: the root, type NS, class IN. */
const rootQuestion = Uint8Array.of(0x54, 0x57, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1);

function payloadSize({ destination, size = 0 }: ProbeRequest): number {
  return Math.max(0, size - 8 - (familyOf(destination) === 4 ? 20 : 40));
}

/** RFC 792, RFC 4443; ICMPv6's checksum is the kernel's work. The descriptor is as good an identifier as any within this process. */
function echoRequest(fd: number, request: ProbeRequest): Uint8Array {
  const v4 = familyOf(request.destination) === 4;
  const writer = new ByteWriter(64)
    .u8(v4 ? 8 : 128)
    .u8(0)
    .u16(0)
    .u16be(identifier(fd))
    .u16be(1);
  const bytes = writer.zero(Math.max(24, payloadSize(request))).bytes();
  if (v4) new DataView(bytes.buffer).setUint16(2, checksum(bytes), false);
  return bytes;
}

const identifier = (fd: number): number => (process.pid * 64 + fd) & 0xffff;

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const buffer = new Uint8Array(2048);

/** @returns the outcome once there is one. */
function look(fd: number, { destination, protocol }: ProbeRequest): Pick<ProbeOutcome, "result" | "errno"> | undefined {
  if (protocol === "tcp") {
    const error = getOption(fd, SOL_SOCKET, SO_ERROR);
    if (error !== 0) return failed(error);
    // A socket that is not connected yet answers EAGAIN too; only a connected one takes nothing and says 0.
    return trySend(fd, new Uint8Array(0)) === 0 ? { result: "answered" } : undefined;
  }
  for (;;) {
    const length = tryReceive(fd, buffer, MSG_DONTWAIT);
    if (length === -EAGAIN) return undefined;
    if (length < 0) return failed(-length);
    if (protocol === "udp") return { result: "answered" };
    // Raw IPv4 sockets show the IP header (raw(7)), IPv6 ones do not; both show what others get, too.
    const at = familyOf(destination) === 4 ? ((buffer[0] ?? 0) & 15) * 4 : 0;
    const isReply = buffer[at] === (familyOf(destination) === 4 ? 0 : 129);
    if (isReply && (((buffer[at + 4] ?? 0) << 8) | (buffer[at + 5] ?? 0)) === identifier(fd))
      return { result: "answered" };
  }
}
