import { gcAndSweep } from "bun:jsc";

/** Where fewer peers are known there is nothing worth the trouble. */
const manyPeers = 500;
/** Small changes that leave as much behind as a burst. */
const manyChanges = 1_000;
/** Milliseconds: by then what was begun is done. */
const quietAfter = 5_000;

/**
 * After a burst over thousands of peers (all parts made anew, all entries of the kernel read) a third of the agent's memory
 * is free and still the process's: JavaScriptCore sweeps and returns it when it needs some, which at rest is never. So it
 * is told to: 20 to 50 ms for 5,000 peers, once for each burst, and none for clusters of usual size.
 */
export class Tidy {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #changes = 0;

  afterBurst(peers: number): void {
    if (peers >= manyPeers) this.#whenQuiet();
  }

  /** One small change more: each by itself is not worth the trouble. */
  afterMany(): void {
    this.#changes++;
    if (this.#changes >= manyChanges) this.#whenQuiet();
  }

  #whenQuiet(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#changes = 0;
      gcAndSweep();
    }, quietAfter);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
