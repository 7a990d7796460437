import type { ErrorDetails } from "../base/errors.ts";
import { libc, systemCall, trySystemCall } from "./libc.ts";

/** Socket calls whose arguments are flat. Messages with descriptors are in fd-passing.ts, addresses in sockaddr.ts. */

/** include/linux/socket.h */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
/** include/linux/net.h */
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

/** include/uapi/asm-generic/socket.h */
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_PEERCRED = 17;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

export interface SocketOptions {
  readonly nonBlocking?: boolean;
}

/** Close-on-exec. The socket belongs to the network namespace the thread is in now, for ever. */
export function openSocket(domain: number, type: number, protocol: number, options: SocketOptions = {}): number {
  const flags = type | SOCK_CLOEXEC | (options.nonBlocking === true ? SOCK_NONBLOCK : 0);
  return systemCall("socket", () => libc.socket(domain, flags, protocol));
}

export function bindSocket(fd: number, address: Uint8Array, details: ErrorDetails = {}): void {
  systemCall("bind", () => libc.bind(fd, address, address.length), details);
}

/** 0, or a negated errno (EINPROGRESS on a non-blocking stream socket). */
export const tryConnect = (fd: number, address: Uint8Array): number =>
  trySystemCall("connect", () => libc.connect(fd, address, address.length));

export function listenSocket(fd: number, backlog: number): void {
  systemCall("listen", () => libc.listen(fd, backlog));
}

/** A new descriptor, or a negated errno. */
export const tryAccept = (fd: number): number =>
  trySystemCall("accept4", () => libc.accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK));

/** Bytes sent, or a negated errno. Never raises SIGPIPE. */
export const trySend = (fd: number, bytes: Uint8Array, flags = 0, to?: Uint8Array): number =>
  trySystemCall("sendto", () =>
    libc.sendto(fd, bytes, bytes.length, flags | MSG_NOSIGNAL, to ?? null, to === undefined ? 0 : to.length),
  );

/** Bytes received (with MSG_TRUNC: the whole length of a datagram even where the buffer is shorter), or a negated errno. */
export const tryReceive = (fd: number, buffer: Uint8Array, flags = 0): number =>
  trySystemCall("recvfrom", () => libc.recvfrom(fd, buffer, buffer.length, flags, null, null));

/** As tryReceive; the sender's socket address is written into `from`, its length into `fromLength[0]`. */
export function tryReceiveFrom(
  fd: number,
  buffer: Uint8Array,
  flags: number,
  from: Uint8Array,
  fromLength: Uint32Array,
): number {
  fromLength[0] = from.length;
  return trySystemCall("recvfrom", () => libc.recvfrom(fd, buffer, buffer.length, flags, from, fromLength));
}

export function setOption(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === "number" ? new Int32Array([value]) : value;
  systemCall("setsockopt", () => libc.setsockopt(fd, level, option, bytes, bytes.byteLength), {
    object: `option ${level}/${option}`,
  });
}

/** Whether the kernel took it. */
export function trySetOption(fd: number, level: number, option: number, value: number): boolean {
  const bytes = new Int32Array([value]);
  return trySystemCall("setsockopt", () => libc.setsockopt(fd, level, option, bytes, 4)) === 0;
}

export function getOption(fd: number, level: number, option: number): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  systemCall("getsockopt", () => libc.getsockopt(fd, level, option, value, length), {
    object: `option ${level}/${option}`,
  });
  return value[0] ?? 0;
}

export const getOptionBytes = (fd: number, level: number, option: number, value: Uint8Array): void => {
  const length = new Uint32Array([value.length]);
  systemCall("getsockopt", () => libc.getsockopt(fd, level, option, value, length));
};

/** Limits how long a blocking send or receive may take; EAGAIN afterwards. 0 means for ever. */
export function setTimeouts(fd: number, milliseconds: number): void {
  // struct timeval: two 64-bit numbers on both machines.
  const value = new BigInt64Array([
    BigInt(Math.floor(milliseconds / 1000)),
    BigInt(Math.round(milliseconds % 1000) * 1000),
  ]);
  const bytes = new Uint8Array(value.buffer);
  setOption(fd, SOL_SOCKET, SO_RCVTIMEO, bytes);
  setOption(fd, SOL_SOCKET, SO_SNDTIMEO, bytes);
}

/** The address that the socket is bound to, as a sockaddr. */
export function socketName(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  systemCall("getsockname", () => libc.getsockname(fd, address, length));
  return address.subarray(0, length[0] ?? 0);
}

/** The address at the other end of a connected socket, as a sockaddr; undefined when there is no other end any more. */
export function peerName(fd: number): Uint8Array | undefined {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  const result = trySystemCall("getpeername", () => libc.getpeername(fd, address, length));
  return result < 0 ? undefined : address.subarray(0, length[0] ?? 0);
}
