import { clearEventfd } from "./eventfd.ts";
import { POLLIN, PollSet } from "./poll.ts";
import { eventsOf, generationOf, isArmed, PollTable } from "./poll-table.ts";

/**
 * The poller's thread. It gets one message, the table and the eventfd, and then never returns to its own event loop: it
 * blocks in poll(2) and posts what is ready. Posting works from there; receiving does not.
 */
declare const self: Worker;

export interface PollerStart {
  readonly table: SharedArrayBuffer;
  readonly wake: number;
}

/** Three numbers an event: slot, generation, returned events. */
export type PollerReport = readonly number[];

self.onmessage = (event: MessageEvent<PollerStart>) => run(new PollTable(event.data.table), event.data.wake);

function run(table: PollTable, wake: number): void {
  const set = new PollSet(64);
  const slots: number[] = [];
  const states: number[] = [];
  while (!table.stopped) {
    set.clear();
    slots.length = 0;
    states.length = 0;
    set.add(wake, POLLIN);
    for (let slot = 0; slot < table.used; slot++) {
      const state = table.state(slot);
      if (!isArmed(state)) continue;
      set.add(table.descriptor(slot), eventsOf(state));
      slots.push(slot);
      states.push(state);
    }
    const ready = set.wait(-1);
    // ENOMEM is the only failure left (EINTR is retried); it passes.
    if (ready < 0) continue;
    if (set.returned(0) !== 0) clearEventfd(wake);
    const report: number[] = [];
    for (let index = 0; index < slots.length; index++) {
      const returned = set.returned(index + 1);
      const slot = slots[index] ?? 0;
      const state = states[index] ?? 0;
      if (returned !== 0 && table.disarm(slot, state)) report.push(slot, generationOf(state), returned);
    }
    if (report.length > 0) self.postMessage(report);
  }
  process.exit();
}
