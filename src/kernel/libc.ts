import { dlopen, type FFIFunction, FFIType, type Library, type Pointer, read } from "bun:ffi";
import type { ErrorDetails } from "../base/errors.ts";
import { EINTR, EINVAL, errnoError } from "./errno.ts";

/**
 * The only dlopen of the product. Everything that enters the kernel by FFI goes through `systemCall`, so that EINTR,
 * errno and fault injection have one place.
 *
 * Traps of bun:ffi that this layer lives with:
 * - A typed array passed for a `ptr` argument is kept alive during the call. One whose address was taken by `ptr()` and
 *   stored inside a struct is not: the caller must hold a reference beyond the call (see message.ts).
 * - `ptr()` of an empty typed array throws; pass null.
 * - errno is per thread and any later libc call may overwrite it, so it is read in the same stretch, before JavaScript
 *   allocates: `__errno_location` is asked once a thread (each Worker loads its own copy of this module).
 * - open, fcntl and ioctl are variadic in C. On x86-64 and arm64 Linux integer and pointer arguments are passed alike
 *   in both conventions, so they may be called as if they were not.
 */
const { i32, i64, u32, u64, ptr } = FFIType;

const functions = {
  __errno_location: { args: [], returns: ptr },
  // POSIX AIO, for link-deleter.ts: a struct aiocb each, and a struct aioinit.
  aio_error: { args: [ptr], returns: i32 },
  aio_init: { args: [ptr], returns: FFIType.void },
  aio_return: { args: [ptr], returns: i64 },
  aio_write: { args: [ptr], returns: i32 },
  accept4: { args: [i32, ptr, ptr, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  connect: { args: [i32, ptr, u32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  execve: { args: [ptr, ptr, ptr], returns: i32 },
  chroot: { args: [ptr], returns: i32 },
  chmod: { args: [ptr, u32], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, u64], returns: i32 },
  fstat: { args: [i32, ptr], returns: i32 },
  fstatfs: { args: [i32, ptr], returns: i32 },
  getpeername: { args: [i32, ptr, ptr], returns: i32 },
  getsockname: { args: [i32, ptr, ptr], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  ioctl: { args: [i32, u64, u64], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  mount: { args: [ptr, ptr, ptr, u64, ptr], returns: i32 },
  open: { args: [ptr, i32, u32], returns: i32 },
  poll: { args: [ptr, u64, i32], returns: i32 },
  read: { args: [i32, ptr, u64], returns: i32 },
  recvfrom: { args: [i32, ptr, u64, i32, ptr, ptr], returns: i32 },
  recvmsg: { args: [i32, ptr, i32], returns: i32 },
  rename: { args: [ptr, ptr], returns: i32 },
  sendmsg: { args: [i32, ptr, i32], returns: i32 },
  sendto: { args: [i32, ptr, u64, i32, ptr, u32], returns: i32 },
  sethostname: { args: [ptr, u64], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  umount2: { args: [ptr, i32], returns: i32 },
  unlink: { args: [ptr], returns: i32 },
  unshare: { args: [i32], returns: i32 },
  usleep: { args: [u32], returns: i32 },
  waitpid: { args: [i32, ptr, i32], returns: i32 },
  write: { args: [i32, ptr, u64], returns: i32 },
} as const satisfies Readonly<Record<string, FFIFunction>>;

/**
 * C's functions by name. Only files of src/kernel call them, and only inside `systemCall`.
 *
 * Each is looked up when it is first called: what a program does not call, its host's libc need not have (POSIX AIO is in
 * libc.so.6 since glibc 2.34, and the CNI plugin runs on hosts with 2.17).
 */
export const libc = whenCalled(functions);

function whenCalled<Functions extends Readonly<Record<string, FFIFunction>>>(
  wanted: Functions,
): Library<Functions>["symbols"] {
  const symbols: Record<string, unknown> = {};
  for (const [name, signature] of Object.entries(wanted)) {
    const find = () => {
      const value = dlopen("libc.so.6", { [name]: signature }).symbols[name];
      Object.defineProperty(symbols, name, { value });
      return value;
    };
    Object.defineProperty(symbols, name, { get: find, configurable: true, enumerable: true });
  }
  return symbols as Library<Functions>["symbols"];
}

let before: ((name: string) => void) | undefined;

/**
 * Calls `hook` with the function's name before each system call of this thread; undefined takes it away. For fault tests,
 * which kill the process at the N-th call.
 */
export function beforeSystemCall(hook: ((name: string) => void) | undefined): void {
  before = hook;
}

const errnoLocation = Number(libc.__errno_location()) as Pointer;

/**
 * Runs one system call, again when a signal interrupted it.
 * @param run calls exactly one function of `libc` and returns its result.
 * @returns the result, or the negated errno, as inside the kernel.
 */
export function trySystemCall(name: string, run: () => number): number {
  before?.(name);
  for (;;) {
    const result = run();
    if (result !== -1) return result;
    const errno = read.i32(errnoLocation, 0);
    if (errno !== EINTR) return -errno;
  }
}

/** As trySystemCall. @throws TwillError with errno; its code follows codeOfErrno. */
export function systemCall(name: string, run: () => number, details: ErrorDetails = {}): number {
  const result = trySystemCall(name, run);
  if (result < 0) throw errnoError(-result, { operation: name, ...details });
  return result;
}

const encoder = new TextEncoder();

/** NUL-terminated, for a `char *` argument. A NUL inside would silently cut the name, so it is refused. */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw errnoError(EINVAL, { object: JSON.stringify(text), detail: "NUL in a name" });
  return encoder.encode(`${text}\0`);
}
