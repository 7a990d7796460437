/**
 * What the main thread wants polled, in memory that it shares with the poller's thread. That thread sits in poll(2) and reads
 * no messages, so everything it must know stands here, and an eventfd wakes it to look.
 *
 * Word 0: stop when not zero. Word 1: how many slots have ever been used. Then two words a slot: descriptor, state.
 *
 * A state is generation (15 bits) | armed (1 bit) | events (16 bits). Watching is one-shot: the thread disarms a slot when it
 * reports it, and the main thread arms it again after the callback. Readiness is level-triggered in the kernel, so what
 * is still unread then is reported at once: nothing is missed, and nothing spins while the main thread is busy.
 *
 * The generation changes whenever a slot gets another owner. The thread disarms by compare-and-exchange with the state it
 * polled, and reports that state's generation, so a late report about a descriptor number that was closed and reused meanwhile
 * reaches nobody.
 */
const STOP = 0;
const USED = 1;
const FIRST = 2;
const ARMED = 0x10000;
const EVENTS = 0xffff;

export class PollTable {
  readonly shared: SharedArrayBuffer;
  readonly capacity: number;
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
    this.capacity = (this.#words.length - FIRST) / 2;
  }

  static create(capacity: number): PollTable {
    return new PollTable(new SharedArrayBuffer((FIRST + capacity * 2) * 4));
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }
  stop(): void {
    Atomics.store(this.#words, STOP, 1);
  }

  get used(): number {
    return Atomics.load(this.#words, USED);
  }

  /** Gives the slot to a descriptor, armed. @returns the generation to recognise reports by. */
  assign(slot: number, fd: number, events: number): number {
    const generation = (generationOf(this.state(slot)) + 1) & 0x7fff;
    // Disarmed first: the thread must not see the new descriptor with the old state.
    Atomics.store(this.#words, FIRST + slot * 2 + 1, generation * 2 * ARMED);
    Atomics.store(this.#words, FIRST + slot * 2, fd);
    this.arm(slot, generation, events);
    if (slot >= this.used) Atomics.store(this.#words, USED, slot + 1);
    return generation;
  }

  arm(slot: number, generation: number, events: number): void {
    Atomics.store(this.#words, FIRST + slot * 2 + 1, (generation * 2 + 1) * ARMED + (events & EVENTS));
  }

  /** Nothing is reported of this slot until it is assigned again. */
  release(slot: number): void {
    const generation = (generationOf(this.state(slot)) + 1) & 0x7fff;
    Atomics.store(this.#words, FIRST + slot * 2 + 1, generation * 2 * ARMED);
  }

  state(slot: number): number {
    return Atomics.load(this.#words, FIRST + slot * 2 + 1);
  }
  descriptor(slot: number): number {
    return Atomics.load(this.#words, FIRST + slot * 2);
  }

  /** Whether the slot was still in `state`, and now is disarmed. */
  disarm(slot: number, state: number): boolean {
    return Atomics.compareExchange(this.#words, FIRST + slot * 2 + 1, state, state & ~ARMED) === state;
  }
}

export const isArmed = (state: number): boolean => (state & ARMED) !== 0;
export const eventsOf = (state: number): number => state & EVENTS;
export const generationOf = (state: number): number => (state >>> 17) & 0x7fff;
