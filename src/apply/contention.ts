import type { Clock } from "../base/clock.ts";

/** Milliseconds: a second write of the same object within this time counts as one more round of a fight. */
const round = 1_000;
/** Rounds after which we stop answering at once. */
const patience = 10;

/**
 * Notices when somebody else undoes each write of ours as soon as it is made (a second network agent on the node): two
 * programs that heal against each other would burn the CPU for ever and make traffic flap.
 */
export class Contention {
  readonly #clock: Clock;
  readonly #writes = new Map<string, { at: number; rounds: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called for each write. True: somebody contests this object; leave it alone for a while. */
  wrote(id: string): boolean {
    const now = this.#clock.monotonic();
    const last = this.#writes.get(id);
    const rounds = last !== undefined && now - last.at < round ? last.rounds + 1 : 0;
    this.#writes.set(id, { at: now, rounds });
    return rounds >= patience;
  }

  /** The object is now desired otherwise: its history is over. */
  forget(id: string): void {
    this.#writes.delete(id);
  }

  /** Drops what is too old to matter. */
  prune(): void {
    const now = this.#clock.monotonic();
    for (const [id, { at }] of this.#writes) if (now - at >= round) this.#writes.delete(id);
  }
}
