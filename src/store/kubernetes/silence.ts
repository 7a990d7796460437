import type { Clock } from "../../base/clock.ts";

/** Aborts its signal when nothing is heard for too long: a peer that vanished without a word leaves TCP waiting for ever. */
export class Silence {
  readonly #clock: Clock;
  readonly #longest: number;
  readonly #controller = new AbortController();
  readonly #detach: () => void;
  #heard: number;

  /** `longest`: milliseconds. `outer`: aborts it too. */
  constructor(clock: Clock, longest: number, outer: AbortSignal) {
    this.#clock = clock;
    this.#longest = longest;
    this.#heard = clock.monotonic();
    const stop = () => this.#controller.abort();
    this.#detach = () => outer.removeEventListener("abort", stop);
    if (outer.aborted) stop();
    else outer.addEventListener("abort", stop);
    void this.#listen();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The stream, listened to. */
  async *heard(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      this.#heard = this.#clock.monotonic();
      yield chunk;
    }
  }

  end(): void {
    this.#detach();
    this.#controller.abort();
  }

  async #listen(): Promise<void> {
    while (!this.signal.aborted) {
      const left = this.#heard + this.#longest - this.#clock.monotonic();
      if (left <= 0) this.#controller.abort(new Error(`nothing was heard for ${this.#longest / 1000} s`));
      else await this.#clock.sleep(left, this.signal);
    }
  }
}
