import type { Clock } from "../../src/base/clock.ts";

/** A pause that can be cut short, for loops that sleep until something is due or has changed. */
export class Alarm {
  readonly #clock: Clock;
  #rung = false;
  #pause = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present pause, or else the next one at once. */
  ring(): void {
    this.#rung = true;
    this.#pause.abort();
  }

  /** @param milliseconds Infinity: until it rings. @returns whether it rang. */
  async wait(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal.aborted) {
      this.#pause = new AbortController();
      await this.#clock.sleep(Math.min(milliseconds, longest), AbortSignal.any([signal, this.#pause.signal]));
    }
    const rang = this.#rung;
    this.#rung = false;
    return rang;
  }
}

/** What setTimeout takes: 2^31 - 1 milliseconds. Whoever wakes finds nothing due, and waits again. */
const longest = 0x7fffffff;
