import type { Clock } from "../../src/base/clock.ts";
import type { TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { ReflectorState } from "../../src/store/reflector.ts";

/** Whether the datastore answers, since when not, and why. */
export class StoreHealth {
  readonly #clock: Clock;
  readonly #log: Log;
  #reachable = false;
  #awaySince: number | undefined;
  #error: TwillError | undefined;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  get reachable(): boolean {
    return this.#reachable;
  }
  get reason(): string | undefined {
    return this.#error?.describe();
  }
  /** Wall-clock milliseconds; now, while it answers. */
  get awaySince(): number {
    return this.#awaySince ?? this.#clock.now();
  }

  onState(state: ReflectorState, error: TwillError | undefined): void {
    this.#error = error;
    this.#reachable = state === "synced";
    if (this.#reachable) {
      if (this.#awaySince !== undefined) this.#log.info("the datastore answers again");
      this.#awaySince = undefined;
    } else if (this.#awaySince === undefined) {
      this.#awaySince = this.#clock.now();
      this.#log.warn("the datastore is away; working from the last known state", { error });
    }
  }
}
