import type { Clock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { ReflectorState } from "../../src/store/reflector.ts";

/** How long somebody who looks at the status waits for the datastore. Milliseconds. */
const patience = 2_000;

/** Whether the datastore answers, since when not, and why. */
export class StoreHealth {
  readonly #clock: Clock;
  readonly #log: Log;
  #synced = false;
  #awaySince: number | undefined;
  #error: TwillError | undefined;
  #silence: TwillError | undefined;
  #warned = false;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  get reachable(): boolean {
    return this.#synced && this.#silence === undefined;
  }
  get reason(): string | undefined {
    return (this.#error ?? this.#silence)?.describe();
  }
  /** Wall-clock milliseconds; now, while it answers. */
  get awaySince(): number {
    return this.#awaySince ?? this.#clock.now();
  }

  onState(state: ReflectorState, error: TwillError | undefined): void {
    this.#error = error;
    this.#synced = state === "synced";
    if (this.#synced) this.#silence = undefined;
    this.#note(error);
  }

  /**
   * Whether it answers now, for somebody who asks: a watch notices a server that went without a word only after minutes,
   * and one that broke is silent for 20 s before it counts as away.
   */
  async ask(question: () => Promise<unknown>): Promise<void> {
    const over = new AbortController();
    const late = this.#clock.sleep(patience, over.signal).then(() => {
      throw new TwillError("unavailable", `no answer within ${patience / 1000} s`, {
        remedy: "look whether the datastore runs, and whether this node reaches it",
      });
    });
    try {
      await Promise.race([question(), late]);
      this.#silence = undefined;
    } catch (error) {
      this.#silence = error instanceof TwillError ? error : new TwillError("internal", String(error), { cause: error });
    } finally {
      late.catch(() => {});
      over.abort();
    }
    this.#note(this.#silence);
  }

  #note(error: TwillError | undefined): void {
    if (this.reachable) {
      if (this.#warned) this.#log.info("the datastore answers again");
      this.#awaySince = undefined;
      this.#warned = false;
      return;
    }
    this.#awaySince ??= this.#clock.now();
    // Without an error it has only not been asked yet: an agent begins with what it knew.
    if (this.#warned || error === undefined) return;
    this.#warned = true;
    this.#log.warn("the datastore is away; working from the last known state", { error });
  }
}
