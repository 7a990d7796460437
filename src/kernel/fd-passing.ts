import { ptr } from "bun:ffi";
import { TwillError } from "../base/errors.ts";
import { closeFile } from "./file.ts";
import { libc, trySystemCall } from "./libc.ts";
import { getOptionBytes, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SO_PEERCRED, SOL_SOCKET } from "./socket.ts";

/** Descriptors beside bytes on a unix socket: SCM_RIGHTS (unix(7), cmsg(3)). */
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
/** struct cmsghdr: length (u64), level (i32), type (i32). */
const CMSG_HEADER = 16;
/** struct msghdr: seven 64-bit words on both machines. */
const MSGHDR_WORDS = 7;

/** SCM_MAX_FD of the kernel is 253; Twill never passes more than a few. */
const maximumDescriptors = 16;

/** The structs are kept for the life of the program, so that the addresses inside them stay valid during a call. */
const header = new BigUint64Array(MSGHDR_WORDS);
const vector = new BigUint64Array(2);
const control = new Uint8Array(CMSG_HEADER + maximumDescriptors * 4);
const controlView = new DataView(control.buffer);
/** Keeps the caller's buffer reachable while only its address stands in `vector`. */
const pinned = new Set<Uint8Array>();

function prepare(buffer: Uint8Array, controlLength: number): void {
  pinned.add(buffer);
  vector[0] = BigInt(ptr(buffer));
  vector[1] = BigInt(buffer.length);
  header.fill(0n);
  header[2] = BigInt(ptr(vector));
  header[3] = 1n;
  if (controlLength > 0) {
    header[4] = BigInt(ptr(control));
    header[5] = BigInt(controlLength);
  }
}

/**
 * Sends bytes (at least one) with descriptors, which stay open here. A stream may take fewer bytes; the descriptors then
 * went with the first ones. @returns bytes sent, or a negated errno.
 */
export function trySendDescriptors(fd: number, bytes: Uint8Array, descriptors: readonly number[], flags = 0): number {
  if (bytes.length === 0 || descriptors.length > maximumDescriptors) {
    throw new TwillError("internal", `${descriptors.length} descriptors with ${bytes.length} bytes cannot be sent`);
  }
  const length = descriptors.length === 0 ? 0 : CMSG_HEADER + descriptors.length * 4;
  controlView.setBigUint64(0, BigInt(length), true);
  controlView.setInt32(8, SOL_SOCKET, true);
  controlView.setInt32(12, SCM_RIGHTS, true);
  descriptors.forEach((descriptor, index) => {
    controlView.setInt32(CMSG_HEADER + index * 4, descriptor, true);
  });
  prepare(bytes, length);
  const result = trySystemCall("sendmsg", () => libc.sendmsg(fd, header, flags | MSG_NOSIGNAL));
  pinned.clear();
  return result;
}

export interface ReceivedWithDescriptors {
  /** Bytes in the buffer, 0 at the end of the stream, or a negated errno. */
  readonly length: number;
  /** Close-on-exec; the caller's to close. */
  readonly descriptors: readonly number[];
  /** The peer sent more than `limit` descriptors: the kernel has closed the surplus. */
  readonly surplus: boolean;
}

const none: readonly number[] = [];

/** Receives into `buffer`, with at most `limit` descriptors: the kernel installs no more than there is room for. */
export function receiveDescriptors(fd: number, buffer: Uint8Array, limit: number, flags = 0): ReceivedWithDescriptors {
  // CMSG_LEN, not CMSG_SPACE: its padding would have room for one descriptor more than was asked for.
  prepare(buffer, CMSG_HEADER + Math.min(limit, maximumDescriptors) * 4);
  const length = trySystemCall("recvmsg", () => libc.recvmsg(fd, header, flags | MSG_CMSG_CLOEXEC));
  pinned.clear();
  if (length < 0) return { length, descriptors: none, surplus: false };
  const controlLength = Number(header[5] ?? 0n);
  const surplus = (Number((header[6] ?? 0n) & 0xffffffffn) & MSG_CTRUNC) !== 0;
  if (controlLength < CMSG_HEADER) return { length, descriptors: none, surplus };
  const isRights = controlView.getInt32(8, true) === SOL_SOCKET && controlView.getInt32(12, true) === SCM_RIGHTS;
  const end = Math.min(Number(controlView.getBigUint64(0, true)), controlLength);
  const descriptors: number[] = [];
  if (isRights) for (let at = CMSG_HEADER; at + 4 <= end; at += 4) descriptors.push(controlView.getInt32(at, true));
  return { length, descriptors, surplus };
}

export function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeFile(descriptor);
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who connected: as of connect(2), which the peer cannot forge. */
export function peerCredentials(fd: number): PeerCredentials {
  const bytes = new Uint8Array(12);
  getOptionBytes(fd, SOL_SOCKET, SO_PEERCRED, bytes);
  const view = new DataView(bytes.buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}
