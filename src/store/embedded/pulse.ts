/** Wakes whoever waits for something to have happened since it last looked. */
export class Pulse {
  #beats = 0;
  readonly #waiting = new Set<() => void>();

  /** Read it before looking; then a beat while looking is not missed. */
  get beats(): number {
    return this.#beats;
  }

  beat(): void {
    this.#beats++;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves once there was a beat after `seen`, or the signal is aborted. Never rejects. */
  after(seen: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#beats !== seen || signal?.aborted) return resolve();
      const wake = () => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}
