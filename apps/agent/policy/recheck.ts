import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Flow } from "../../../src/compile/policy/flow.ts";
import { verdictOf } from "../../../src/compile/policy/lookup.ts";
import type { Conntrack, LabelChange } from "../../../src/kernel/conntrack.ts";
import type { PolicyState } from "../../../src/model/policy-state.ts";
import type { Connection } from "../../../src/objects/conntrack.ts";
import { labels } from "../../../src/render/hooks.ts";
import type { LabelWords } from "../../../src/wire/conntrack/connection.ts";

export interface RecheckOptions {
  readonly conntrack: Pick<Conntrack, "connections" | "setLabels" | "delete">;
  /** As it is now; undefined: no policy is in force. */
  readonly state: () => PolicyState | undefined;
  /** Of this machine. */
  readonly ownAddresses: () => Iterable<Address>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Changes come in bursts: one look for all. Milliseconds. */
const settleMs = 50;
/** All connections are looked at, a tenth of the time at most. */
const restFactor = 9;

/**
 * With `--policy-established=recheck`: connections that policy would no longer let begin are marked in the kernel, which then denies
 * what they send in both directions; the others are left alone. A mark is taken back when policy allows the connection again.
 */
export class Recheck {
  readonly #options: RecheckOptions;
  readonly #stop = new AbortController();
  #due = false;
  #running = false;

  constructor(options: RecheckOptions) {
    this.#options = options;
  }

  /** Policy in the kernel is other than before. */
  changed(): void {
    this.#due = true;
    if (!this.#running) void this.#run();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    let rest = settleMs;
    while (this.#due && !signal.aborted) {
      await clock.sleep(rest, signal);
      if (signal.aborted) break;
      this.#due = false;
      const started = clock.monotonic();
      try {
        const { cut, mended } = this.look();
        if (cut + mended > 0) log.info("connections rechecked", { cut, mended });
      } catch (error) {
        log.warn("connections cannot be rechecked; it is tried again", { error: describeError(error) });
        this.#due = true;
      }
      rest = Math.max(settleMs, (clock.monotonic() - started) * restFactor);
    }
    this.#running = false;
  }

  /** Without an await between reading and marking, so that no other connection takes a tuple meanwhile. */
  look(): { readonly cut: number; readonly mended: number } {
    const { conntrack, state: current } = this.#options;
    const state = current();
    if (state === undefined) return { cut: 0, mended: 0 };
    const own = new Set(this.#options.ownAddresses());
    const changes: LabelChange[] = [];
    const changed: Connection[] = [];
    let cut = 0;
    for (const connection of conntrack.connections()) {
      const denied = isDenied(state, connection, own);
      if (denied === isCut(connection)) continue;
      if (denied) cut++;
      changes.push({ connection, value: words(denied ? labels.cut.bit : 0), mask: words(labels.cut.bit) });
      changed.push(connection);
    }
    for (const [index, outcome] of conntrack.setLabels(changes).entries()) {
      const connection = changed[index];
      // It began before there was any policy, and cannot be marked. Forgotten, its next packet is judged as a first one.
      if (outcome === "no-room" && connection !== undefined) conntrack.delete(connection);
    }
    return { cut, mended: changes.length - cut };
  }
}

/** Word 2 of the label is `labels.cut`'s. */
const words = (value: number): LabelWords => [0, 0, value, 0];

const isCut = ({ labels: held }: Connection): boolean => ((held?.[labels.cut.word] ?? 0) & labels.cut.bit) !== 0;

/** As its first packet would be judged: behind destination NAT, so by the address that answers. What the node itself sends is not. */
function isDenied(state: PolicyState, { original, reply }: Connection, own: ReadonlySet<Address>): boolean {
  if (own.has(original.source)) return false;
  const flow: Flow = {
    source: original.source,
    destination: reply.source,
    protocol: original.protocol,
    port: original.icmp === undefined ? (reply.sourcePort ?? 0) : original.icmp.type * 256 + original.icmp.code,
  };
  return verdictOf(state, flow, own.has(reply.source) ? "input" : "forward").verdict === "deny";
}
