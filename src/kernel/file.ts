import type { ErrorDetails } from "../base/errors.ts";
import { EINTR, errnoError } from "./errno.ts";
import { cString, libc, systemCall, trySystemCall } from "./libc.ts";

/** include/uapi/asm-generic/fcntl.h; the same on x86-64 and arm64. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_CLOEXEC = 0o2000000;

const F_DUPFD_CLOEXEC = 1030;

/** Close-on-exec always: descriptors of namespaces and sockets must not leak into programs that the agent runs. */
export function openFile(path: string, flags: number, mode = 0o600, details: ErrorDetails = {}): number {
  const name = cString(path);
  return systemCall("open", () => libc.open(name, flags | O_CLOEXEC, mode), { object: path, ...details });
}

/**
 * Never retried: after EINTR Linux has freed the descriptor already, and a second close could hit somebody else's.
 * @throws TwillError for EBADF only, which is a bug of ours.
 */
export function closeFile(fd: number): void {
  let interrupted = false;
  const result = trySystemCall("close", () => {
    if (interrupted) return 0;
    interrupted = true;
    return libc.close(fd);
  });
  if (result < 0 && result !== -EINTR) throw errnoError(-result, { operation: "close", object: `fd ${fd}` });
}

/** A second descriptor of the same open file, close-on-exec. */
export function duplicate(fd: number): number {
  return systemCall("fcntl", () => libc.fcntl(fd, F_DUPFD_CLOEXEC, 0), { operation: "duplicate", object: `fd ${fd}` });
}

/** Up to `buffer.length` bytes; the number read, 0 at the end, or a negated errno (EAGAIN of a non-blocking file). */
export const tryRead = (fd: number, buffer: Uint8Array): number =>
  trySystemCall("read", () => libc.read(fd, buffer, buffer.length));

/** The number of bytes written, or a negated errno. */
export const tryWrite = (fd: number, bytes: Uint8Array): number =>
  trySystemCall("write", () => libc.write(fd, bytes, bytes.length));

/** inode number and device of an open file: two descriptors show the same object exactly when both agree. */
export function identityOf(fd: number): { readonly device: bigint; readonly inode: bigint } {
  // struct stat starts with st_dev and st_ino, 64 bits each, on both machines; 144 bytes on x86-64, 128 on arm64.
  const stat = new BigUint64Array(18);
  systemCall("fstat", () => libc.fstat(fd, stat), { object: `fd ${fd}` });
  return { device: stat[0] ?? 0n, inode: stat[1] ?? 0n };
}

/** statfs.f_type of an open file's filesystem (linux/magic.h). */
export function filesystemOf(fd: number): number {
  const statfs = new BigUint64Array(15);
  systemCall("fstatfs", () => libc.fstatfs(fd, statfs), { object: `fd ${fd}` });
  return Number((statfs[0] ?? 0n) & 0xffffffffn);
}
