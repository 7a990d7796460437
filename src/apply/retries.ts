import type { Clock } from "../base/clock.ts";
import type { Problem } from "../base/problem.ts";

/** Milliseconds. A failure is tried again after the first, then after twice as long each time, up to the last. */
const firstDelay = 200;
const longestDelay = 30_000;
/** Milliseconds after which something that waits (for a link, for a device) is a problem worth telling. */
const patience = 5_000;

/** What did not work: which kind of object, under which key, on which device, and how to say so. */
export interface Failure {
  readonly kind: string;
  readonly key: string;
  readonly device: string;
  /** "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1" */
  readonly object: string;
  /** The kernel's reason, or what it waits for. */
  readonly reason: string;
  readonly remedy: string;
  /** It waits for a condition that an event will announce; nothing is wrong yet. */
  readonly waiting: boolean;
}

interface Pending extends Failure {
  readonly since: number;
  readonly attempts: number;
  at: number;
}

/** Objects that could not be written, when to try them again, and what to tell about them meanwhile. */
export class Retries {
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  record(failure: Failure): void {
    const id = `${failure.kind} ${failure.key}`;
    const now = this.#clock.monotonic();
    const before = this.#pending.get(id);
    const attempts = (before?.attempts ?? 0) + 1;
    const delay = Math.min(firstDelay * 2 ** (attempts - 1), longestDelay);
    this.#pending.set(id, { ...failure, attempts, since: before?.since ?? now, at: now + delay });
  }

  clear(kind: string, key: string): void {
    this.#pending.delete(`${kind} ${key}`);
  }

  /** Not to be tried yet. */
  holds(kind: string, key: string): boolean {
    const pending = this.#pending.get(`${kind} ${key}`);
    return pending !== undefined && pending.at > this.#clock.monotonic();
  }

  /** Something about the device has changed: what failed on it may work now. */
  hasten(device: string): void {
    const now = this.#clock.monotonic();
    for (const pending of this.#pending.values()) if (pending.device === device) pending.at = now;
  }

  hastenKey(kind: string, key: string): void {
    const pending = this.#pending.get(`${kind} ${key}`);
    if (pending !== undefined) pending.at = this.#clock.monotonic();
  }

  due(): readonly Failure[] {
    const now = this.#clock.monotonic();
    return [...this.#pending.values()].filter((pending) => pending.at <= now);
  }

  get waiting(): number {
    return [...this.#pending.values()].filter((pending) => pending.waiting).length;
  }

  /** Milliseconds until the next is due. */
  get nextIn(): number | undefined {
    let first: number | undefined;
    for (const { at } of this.#pending.values()) first = first === undefined ? at : Math.min(first, at);
    return first === undefined ? undefined : Math.max(0, first - this.#clock.monotonic());
  }

  /** One problem for each reason on each device, so that a dead link is one line and not one for each of 5,000 routes. */
  problems(): readonly Problem[] {
    const now = this.#clock.monotonic();
    const groups = Map.groupBy(
      [...this.#pending.values()].filter((pending) => !pending.waiting || now - pending.since >= patience),
      (pending) => JSON.stringify([pending.kind, pending.device, pending.reason, pending.remedy]),
    );
    return [...groups.values()].flatMap(([first, ...more]) => {
      if (first === undefined) return [];
      const others = more.length === 0 ? "" : ` and ${more.length} more like it`;
      return [
        {
          severity: first.waiting ? ("warning" as const) : ("error" as const),
          subject: first.device,
          message: `${first.object}${others} ${first.waiting ? "wait" : "failed"}: ${first.reason}`,
          remedy: first.remedy,
        },
      ];
    });
  }
}
