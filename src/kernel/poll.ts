import { libc, trySystemCall } from "./libc.ts";

/** include/uapi/asm-generic/poll.h. POLLERR, POLLHUP and POLLNVAL are reported whether asked for or not. */
export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;

/** A reused array of struct pollfd: descriptor (i32), wanted events (i16), returned events (i16). */
export class PollSet {
  #fds: Int32Array;
  #events: Int16Array;
  #length = 0;

  constructor(capacity = 16) {
    this.#fds = new Int32Array(capacity * 2);
    this.#events = new Int16Array(this.#fds.buffer);
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** @returns the index to ask `returned` with. */
  add(fd: number, events: number): number {
    const index = this.#length++;
    if (index * 2 >= this.#fds.length) {
      const larger = new Int32Array(this.#fds.length * 2);
      larger.set(this.#fds);
      this.#fds = larger;
      this.#events = new Int16Array(larger.buffer);
    }
    this.#fds[index * 2] = fd;
    this.#events[index * 4 + 2] = events;
    this.#events[index * 4 + 3] = 0;
    return index;
  }

  returned(index: number): number {
    return this.#events[index * 4 + 3] ?? 0;
  }

  /**
   * Blocks the thread. @param timeout milliseconds; −1 waits for ever.
   * @returns how many are ready, 0 after the timeout, or a negated errno.
   */
  wait(timeout: number): number {
    return trySystemCall("poll", () => libc.poll(this.#fds, this.#length, timeout));
  }
}

/** Waits for one descriptor. @returns its events; 0 after `timeout` milliseconds. */
export function pollOne(fd: number, events: number, timeout: number): number {
  const set = new PollSet(1);
  set.add(fd, events);
  return set.wait(timeout) > 0 ? set.returned(0) : 0;
}
