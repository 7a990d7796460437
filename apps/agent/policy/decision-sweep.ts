import type { Clock } from "../../../src/base/clock.ts";
import { describeError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { PolicyCompiler } from "../../../src/compile/policy/compiler.ts";
import type { Conntrack } from "../../../src/kernel/conntrack.ts";
import type { DecisionNumber } from "../../../src/model/policy-state.ts";
import { labels } from "../../../src/render/hooks.ts";

export interface DecisionSweepOptions {
  /** Opened with the first look: most nodes' policies seldom change. */
  readonly openConntrack: () => Pick<Conntrack, "connections" | "close">;
  readonly numbers: () => PolicyCompiler["decisionNumbers"];
  /** Some numbers mean nothing any more. */
  readonly onForgotten: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** So few are not worth reading all connections. */
const worthwhile = 64;
const everyMs = 60_000;
/** All connections are read, one hundredth of the time at most. */
const restFactor = 99;

/**
 * Decisions that changes of policy left behind keep their numbers as long as a connection may bear them. Now and then all connections are
 * read, and what none of them bears is forgotten: what was out of use at the look before, too, so that the report of a connection that has
 * just ended can still be put into words.
 */
export class DecisionSweep {
  readonly #options: DecisionSweepOptions;
  readonly #stop = new AbortController();
  #conntrack: Pick<Conntrack, "connections" | "close"> | undefined;
  #before: ReadonlySet<DecisionNumber> = new Set();
  #waiting = false;
  #rest = everyMs;

  constructor(options: DecisionSweepOptions) {
    this.#options = options;
  }

  /** Policy is other than before. One comparison, mostly. */
  changed(): void {
    const { clock, numbers } = this.#options;
    if (this.#waiting || this.#stop.signal.aborted || numbers().unused < worthwhile) return;
    this.#waiting = true;
    void clock.sleep(this.#rest, this.#stop.signal).then(() => {
      this.#waiting = false;
      if (this.#stop.signal.aborted) return;
      this.#sweep();
      // What went out of use since then is due at the next look, whether policy changes again or not.
      if (this.#before.size > 0) this.changed();
    });
  }

  stop(): void {
    this.#stop.abort();
    this.#conntrack?.close();
  }

  #sweep(): void {
    const { clock, log, openConntrack, numbers, onForgotten } = this.#options;
    const started = clock.monotonic();
    try {
      this.#conntrack ??= openConntrack();
      const { decisions } = numbers();
      const known = decisions.size;
      const borne = this.#borne(this.#conntrack);
      const before = this.#before;
      const since = new Set<DecisionNumber>();
      numbers().forget((number) => {
        if (borne.has(number)) return true;
        if (before.has(number)) return false;
        since.add(number);
        return true;
      });
      this.#before = since;
      if (decisions.size < known) {
        log.debug("decisions that no connection bears are forgotten", { forgotten: known - decisions.size });
        onForgotten();
      }
    } catch (error) {
      log.warn("connections cannot be read; which decisions they bear stays open", { error: describeError(error) });
    }
    this.#rest = Math.max(everyMs, (clock.monotonic() - started) * restFactor);
  }

  #borne(conntrack: Pick<Conntrack, "connections">): ReadonlySet<DecisionNumber> {
    const borne = new Set<DecisionNumber>();
    for (const { labels: held } of conntrack.connections()) {
      for (const word of [labels.egressDecision, labels.ingressDecision]) {
        const number = held?.[word] ?? 0;
        if (number !== 0) borne.add(number);
      }
    }
    return borne;
  }
}
