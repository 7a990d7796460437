import { TwillError } from "../base/errors.ts";
import { createEventfd, signalEventfd } from "./eventfd.ts";
import { closeFile } from "./file.ts";
import { POLLNVAL } from "./poll.ts";
import { PollTable } from "./poll-table.ts";
import type { PollerReport, PollerStart } from "./poller-worker.ts";

/** Readiness of arbitrary descriptors (netlink, unix and inet sockets of ours) on the event loop. */
export interface Poller {
  /**
   * Calls back, on the main thread, whenever `fd` is ready for one of `events` (POLLIN, POLLOUT) or in error. Level-triggered: a
   * callback need not read everything, and is called again while something is left; it may also be called once too often, so
   * it reads without blocking. It must not throw.
   *
   * The watch must be closed before the descriptor is. @throws TwillError `exhausted` beyond 4,096 descriptors.
   */
  watch(fd: number, events: number, callback: (returned: number) => void): PollWatch;
}

export interface PollWatch {
  /** Other events from now on. 0: only errors and hang-up. */
  change(events: number): void;
  /** No callback after this returns. */
  close(): void;
}

const capacity = 4096;

/**
 * One thread for all descriptors (about 5 MB; 30 µs from readiness to callback). Bun's event loop has no door for foreign
 * descriptors. The thread does not keep the process alive: a program whose only work is waiting here must hold something
 * else (a server, a timer).
 *
 * Where the thread's code is: from source, the file beside this one. In a compiled program (`bun build --compile`) it must be
 * an entry point of its own, named `src/kernel/poller-worker.ts` on the command line, from the project's root, after the main
 * one; it is then found by that path and not by a URL (import.meta.url points into the machine that built it). A file of that
 * name in the current directory is not taken instead (poller.test.ts).
 */
export class ThreadPoller implements Poller {
  readonly #table = PollTable.create(capacity);
  readonly #wake = createEventfd();
  readonly #worker: Worker;
  readonly #entries: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  #wakePending = false;
  #closed = false;

  constructor() {
    this.#worker = Bun.isStandaloneExecutable
      ? new Worker("./src/kernel/poller-worker.ts")
      : new Worker(new URL("./poller-worker.ts", import.meta.url));
    this.#worker.onmessage = (event: MessageEvent<PollerReport>) => this.#deliver(event.data);
    this.#worker.onerror = (event) => {
      // Without it every notification would be missed in silence.
      throw new TwillError("internal", `the poller's thread failed: ${event.message}`);
    };
    const start: PollerStart = { table: this.#table.shared, wake: this.#wake };
    this.#worker.postMessage(start);
    this.#worker.unref();
  }

  watch(fd: number, events: number, callback: (returned: number) => void): PollWatch {
    if (this.#closed) throw new TwillError("internal", "the poller is closed");
    const slot = this.#free.pop() ?? this.#entries.length;
    if (slot >= capacity) {
      throw new TwillError("exhausted", `${capacity} descriptors are watched already`, {
        operation: "watch descriptor",
      });
    }
    const entry: Entry = { events, callback, generation: this.#table.assign(slot, fd, events) };
    this.#entries[slot] = entry;
    this.#wakeUp();
    return {
      change: (wanted) => {
        if (this.#entries[slot] !== entry || entry.events === wanted) return;
        entry.events = wanted;
        this.#table.arm(slot, entry.generation, wanted);
        this.#wakeUp();
      },
      close: () => {
        if (this.#entries[slot] !== entry) return;
        this.#entries[slot] = undefined;
        this.#table.release(slot);
        this.#free.push(slot);
        // While the thread polls a descriptor, the kernel holds the file open even after close(): let go of it.
        this.#wakeUp();
      },
    };
  }

  #deliver(report: PollerReport): void {
    for (let index = 0; index + 2 < report.length; index += 3) {
      const slot = report[index] ?? 0;
      const returned = report[index + 2] ?? 0;
      const entry = this.#entries[slot];
      if (entry === undefined || entry.generation !== report[index + 1]) continue;
      entry.callback(returned);
      if (this.#entries[slot] !== entry) continue;
      if ((returned & POLLNVAL) !== 0) {
        // Closed without telling us: arming it again would spin.
        this.#entries[slot] = undefined;
        this.#table.release(slot);
        this.#free.push(slot);
        continue;
      }
      this.#table.arm(slot, entry.generation, entry.events);
      this.#wakeUp();
    }
  }

  /** One signal for all changes of a turn of the event loop. */
  #wakeUp(): void {
    if (this.#wakePending) return;
    this.#wakePending = true;
    queueMicrotask(() => {
      this.#wakePending = false;
      if (!this.#closed) signalEventfd(this.#wake);
    });
  }

  /** Ends the thread; open watches are forgotten. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const ended = new Promise((resolve) => this.#worker.addEventListener("close", resolve));
    this.#table.stop();
    signalEventfd(this.#wake);
    await ended;
    closeFile(this.#wake);
  }
}

interface Entry {
  events: number;
  readonly callback: (returned: number) => void;
  readonly generation: number;
}
