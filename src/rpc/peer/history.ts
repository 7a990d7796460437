import type { Reachability } from "../../model/status.ts";

/** Results that count, newest last. */
const window = 10;
/** So many losses in a row are needed to say no: one lost datagram is nothing. */
const lossesForNo = 3;

/** One for all that were not probed yet. */
const none: readonly undefined[] = [];

/** What came of the last probes over one path to one peer. */
export class PathHistory {
  #results: readonly (number | undefined)[] = none;
  #state: Reachability["state"] = "unknown";
  #since: number | undefined;

  get state(): Reachability["state"] {
    return this.#state;
  }

  /** Lost since the last answer. */
  get lostInARow(): number {
    const last = this.#results.findLastIndex((result) => result !== undefined);
    return this.#results.length - 1 - last;
  }

  get probes(): number {
    return this.#results.length;
  }

  /** @param roundTrip milliseconds; undefined: no answer came. @param now wall clock. */
  record(roundTrip: number | undefined, now: number): void {
    this.#results = [...this.#results, roundTrip].slice(-window);
    const state = roundTrip !== undefined ? "yes" : this.lostInARow >= lossesForNo ? "no" : this.#state;
    if (state !== this.#state) this.#since = now;
    this.#state = state;
  }

  get reachability(): Reachability {
    const answered = this.#results.filter((result) => result !== undefined).sort((a, b) => a - b);
    const median = answered[Math.floor(answered.length / 2)];
    return {
      state: this.#state,
      ...(median === undefined ? {} : { roundTrip: median }),
      ...(this.#results.length === 0 ? {} : { loss: (this.#results.length - answered.length) / this.#results.length }),
      ...(this.#since === undefined ? {} : { since: this.#since }),
    };
  }
}

/** One verdict from both paths: pods talk over the overlay, so it decides; the underlay tells where the fault is. */
export function combine(underlay: Reachability, overlay: Reachability | undefined): Reachability {
  if (overlay === undefined) return underlay.state === "no" ? { ...underlay, failing: "underlay" } : underlay;
  return overlay.state === "no" ? { ...overlay, failing: underlay.state === "no" ? "underlay" : "overlay" } : overlay;
}
