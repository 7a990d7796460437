import { EAGAIN, errnoError } from "./errno.ts";
import { tryRead, tryWrite } from "./file.ts";
import { libc, systemCall } from "./libc.ts";

/** EFD_CLOEXEC and EFD_NONBLOCK are O_CLOEXEC and O_NONBLOCK. */
const flags = 0o2000000 | 0o4000;
const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

/** A counter that poll(2) can wait for: how one thread wakes another out of a blocking system call. */
export const createEventfd = (): number => systemCall("eventfd", () => libc.eventfd(0, flags));

export function signalEventfd(fd: number): void {
  const result = tryWrite(fd, one);
  // EAGAIN: the counter is at its limit, so the reader is as awake as can be.
  if (result < 0 && result !== -EAGAIN) throw errnoError(-result, { operation: "wake", object: "eventfd" });
}

export function clearEventfd(fd: number): void {
  tryRead(fd, new Uint8Array(8));
}
