import type { Address } from "../../base/address.ts";
import { hex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { isCode } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { PeerContact } from "../../model/node-state.ts";
import type { Reachability } from "../../model/status.ts";
import { decodeMessage, encodeMessage, type Path } from "./codec.ts";
import { combine, PathHistory } from "./history.ts";
import type { PeerTransport } from "./transport.ts";

export interface ProberOptions {
  readonly node: string;
  readonly key: Uint8Array;
  readonly transport: PeerTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Some peer's state changed. */
  readonly onChange: () => void;
}

export interface ProberCounters {
  sent: number;
  answered: number;
  lost: number;
  /** Datagrams without the cluster's key, of strangers, or over the limit. */
  rejected: number;
}

const everyMs = 3_000;
/** A peer that is new, or has just begun to lose: decide soon. */
const soonMs = 300;
const answerWithinMs = 1_000;
/** Longest pause between two looks. */
const idleMs = 5_000;
/** Probes a second, whatever the cluster's size; in big ones the rotation takes longer instead. */
const budget = 20;
const gapMs = 1_000 / budget;
/** Answers a second; the cluster's agents together ask each node about as often. */
const answersPerSecond = 200;

interface Target {
  readonly node: string;
  readonly port: number;
  readonly path: Path;
  readonly address: Address;
  readonly history: PathHistory;
  due: number;
}

/** Measures every peer, over the underlay and over the overlay, and answers when it is measured. */
export class PeerProber {
  readonly counters: ProberCounters = { sent: 0, answered: 0, lost: 0, rejected: 0 };
  readonly #options: ProberOptions;
  /** By node. */
  readonly #targets: Readonly<Record<Path, Map<string, Target>>> = { underlay: new Map(), overlay: new Map() };
  readonly #paths = Object.values(this.#targets);
  readonly #reverse = new Map<string, Reachability>();
  readonly #outstanding = new Map<string, { readonly target: Target; readonly sentAt: number }>();
  /** Addresses that datagrams may come from, with the number of targets there. */
  readonly #senders = new Map<Address, number>();
  #tokens = answersPerSecond;
  #refilledAt: number;
  #stopped = false;
  #probedAt = Number.NEGATIVE_INFINITY;
  #wake: AbortController | undefined;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#refilledAt = options.clock.monotonic();
  }

  /** Probes until stopped. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pause = this.tick();
      const wake = new AbortController();
      this.#wake = wake;
      await this.#options.clock.sleep(pause, AbortSignal.any([signal, wake.signal]));
    }
    this.#stopped = true;
  }

  /**
   * Takes these contacts, by node, in the place of what they were; undefined: it is measured no longer.
   * `whole`: nor is any that is not among them.
   */
  change(contacts: ReadonlyMap<string, PeerContact | undefined>, { whole = false } = {}): void {
    if (whole) {
      const gone = [...this.#targets.underlay.keys()].filter((node) => !contacts.has(node));
      this.change(new Map(gone.map((node) => [node, undefined])));
    }
    for (const [node, contact] of contacts) {
      this.#aim(node, "underlay", contact?.port, contact?.underlay);
      this.#aim(node, "overlay", contact?.port, contact?.overlay);
      if (contact === undefined) this.#reverse.delete(node);
    }
    if (contacts.size > 0) this.#wake?.abort();
  }

  /** A path that stays keeps its history. */
  #aim(node: string, path: Path, port: number | undefined, address: Address | undefined): void {
    const targets = this.#targets[path];
    const before = targets.get(node);
    if (before !== undefined && before.address === address && before.port === port) return;
    if (before !== undefined) {
      targets.delete(node);
      this.#countSender(before.address, -1);
    }
    if (address === undefined || port === undefined) return;
    const due = this.#options.clock.monotonic() + this.#options.random.below(soonMs);
    targets.set(node, { node, port, path, address, history: new PathHistory(), due });
    this.#countSender(address, 1);
  }

  #countSender(address: Address, change: 1 | -1): void {
    const count = (this.#senders.get(address) ?? 0) + change;
    if (count === 0) this.#senders.delete(address);
    else this.#senders.set(address, count);
  }

  reachability(name: string): Reachability {
    const underlay = this.#targets.underlay.get(name)?.history.reachability ?? { state: "unknown" };
    return combine(underlay, this.#targets.overlay.get(name)?.history.reachability);
  }

  /** What the peer's agent last said that it measured towards this node. */
  reverse(name: string): Reachability | undefined {
    return this.#reverse.get(name);
  }

  /**
   * Probes what is due most, and gives up on what was not answered. One probe a call keeps the budget.
   * @returns milliseconds until there may be something to do.
   */
  tick(): number {
    const now = this.#options.clock.monotonic();
    for (const [nonce, { target, sentAt }] of this.#outstanding) {
      if (now - sentAt < answerWithinMs) break; // in order of sending
      this.#outstanding.delete(nonce);
      this.counters.lost++;
      this.#record(target, undefined);
    }
    let next: Target | undefined;
    for (const targets of this.#paths)
      for (const target of targets.values())
        if (target.due <= now && (next === undefined || target.due < next.due)) next = target;
    const early = this.#probedAt + gapMs - now;
    if (early > 0) return early;
    if (next !== undefined) {
      this.#probedAt = now;
      this.#probe(next, now);
      return gapMs;
    }
    return Math.max(gapMs, this.#nextAt() - now);
  }

  /** Monotonic time of the next probe or of the next loss. Not for ever, in case that time was lost. */
  #nextAt(): number {
    const first = this.#outstanding.values().next().value;
    const loss = first === undefined ? Number.POSITIVE_INFINITY : first.sentAt + answerWithinMs;
    let next = Math.min(loss, this.#options.clock.monotonic() + idleMs);
    for (const targets of this.#paths) for (const target of targets.values()) next = Math.min(next, target.due);
    return next;
  }

  /** A datagram came in. */
  receive(bytes: Uint8Array, from: Address, port: number): void {
    // Before any cryptography: strangers cost nothing.
    if (this.#stopped || !this.#senders.has(from)) return void this.counters.rejected++;
    try {
      const message = decodeMessage(bytes, this.#options.key);
      if (message === undefined) return void this.counters.rejected++;
      if (message.type === "probe") this.#answer(message, from, port);
      else this.#answered(hex(message.nonce), message.measured);
    } catch (error) {
      if (!isCode(error, "corrupt")) throw error;
      this.counters.rejected++;
      this.#options.log.debug("datagram of another agent not understood", { from, error });
    }
  }

  #probe(target: Target, now: number): void {
    const { node, key, transport, random } = this.#options;
    const nonce = random.bytes(16);
    target.due = now + everyMs + random.below(everyMs / 5) - everyMs / 10;
    this.#outstanding.set(hex(nonce), { target, sentAt: now });
    this.counters.sent++;
    transport.send(
      encodeMessage({ type: "probe", nonce, path: target.path, sender: node }, key),
      target.address,
      target.port,
    );
  }

  /** A replayed probe only makes us repeat to a node of the cluster what it may know anyway. */
  #answer(
    probe: { readonly nonce: Uint8Array; readonly path: Path; readonly sender: string },
    to: Address,
    port: number,
  ): void {
    if (!this.#mayAnswer()) return void this.counters.rejected++;
    const { node, key, transport } = this.#options;
    const measured = this.reachability(probe.sender);
    transport.send(
      encodeMessage({ type: "answer", nonce: probe.nonce, path: probe.path, sender: node, measured }, key),
      to,
      port,
    );
  }

  #answered(nonce: string, measured: Reachability): void {
    const waiting = this.#outstanding.get(nonce);
    if (waiting === undefined) return; // too late, or replayed
    this.#outstanding.delete(nonce);
    this.counters.answered++;
    this.#reverse.set(waiting.target.node, measured);
    this.#record(waiting.target, this.#options.clock.monotonic() - waiting.sentAt);
  }

  #record(target: Target, roundTrip: number | undefined): void {
    const { clock, onChange } = this.#options;
    const { history } = target;
    const before = history.state;
    history.record(roundTrip, clock.now());
    const undecided = history.probes < 3 || (history.lostInARow > 0 && history.lostInARow < 3);
    if (undecided) {
      target.due = Math.min(target.due, clock.monotonic() + soonMs);
      this.#wake?.abort();
    }
    if (history.state !== before) onChange();
  }

  #mayAnswer(): boolean {
    const now = this.#options.clock.monotonic();
    this.#tokens = Math.min(answersPerSecond, this.#tokens + ((now - this.#refilledAt) / 1000) * answersPerSecond);
    this.#refilledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
