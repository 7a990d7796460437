/** Time is passed in, so that tests own it. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. For intervals and timeouts. */
  monotonic(): number;
  sleep(milliseconds: number): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

/** A clock that moves only when told to; sleepers wake in order of their deadlines. */
export class FakeClock implements Clock {
  #wall: number;
  #elapsed = 0;
  #sleepers: { at: number; wake: () => void }[] = [];

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#wall = start;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((wake) => {
      this.#sleepers.push({ at: this.#elapsed + milliseconds, wake });
    });
  }

  /** Moves both clocks, waking sleepers on the way. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    for (;;) {
      const next = this.#sleepers.filter((sleeper) => sleeper.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#sleepers.splice(this.#sleepers.indexOf(next), 1);
      this.#wall += next.at - this.#elapsed;
      this.#elapsed = next.at;
      next.wake();
      await Promise.resolve();
    }
    this.#wall += end - this.#elapsed;
    this.#elapsed = end;
  }

  /** Only the wall clock jumps, as when an administrator sets it. */
  jump(milliseconds: number): void {
    this.#wall += milliseconds;
  }
}
