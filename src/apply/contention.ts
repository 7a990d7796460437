import type { Clock } from "../base/clock.ts";
import type { Failure, Retries } from "./retries.ts";

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
  readonly #retries: Retries;
  readonly #writes = new Map<string, { at: number; rounds: number }>();
  #prunedAt = 0;

  constructor(clock: Clock, retries: Retries) {
    this.#clock = clock;
    this.#retries = retries;
  }

  /** To be asked before each write. False: somebody contests this object; it is left alone for a while, and that is told. */
  mayWrite(target: Pick<Failure, "kind" | "key" | "device" | "object">): boolean {
    const id = `${target.kind} ${target.key}`;
    const now = this.#clock.monotonic();
    if (now - this.#prunedAt >= round) this.prune();
    const last = this.#writes.get(id);
    const rounds = last !== undefined && now - last.at < round ? last.rounds + 1 : 0;
    this.#writes.set(id, { at: now, rounds });
    if (rounds < patience) return true;
    this.#retries.record({
      ...target,
      reason: "somebody else undoes it as soon as it is made",
      remedy: "stop the other network agent on this node, or look who it is: ip monitor",
      waiting: false,
    });
    return false;
  }

  /** The object is now desired otherwise: its history is over. */
  forget(kind: string, key: string): void {
    this.#writes.delete(`${kind} ${key}`);
  }

  /** Drops what is too old to matter. */
  prune(): void {
    const now = this.#clock.monotonic();
    this.#prunedAt = now;
    for (const [id, { at }] of this.#writes) if (now - at >= round) this.#writes.delete(id);
  }
}
