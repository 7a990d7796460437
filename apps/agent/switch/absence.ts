import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { Presence, PresenceSocket } from "../../../src/kernel/presence-socket.ts";

export interface AbsenceOptions {
  readonly open: (address: Address) => PresenceSocket;
  readonly clock: Pick<Clock, "monotonic">;
  /** A machine was found to be away, or to be there again. */
  readonly onChange: () => void;
}

interface Watched {
  readonly address: Address;
  readonly socket: PresenceSocket;
  /** Since when nobody has its address; undefined: it answered, or nothing is known. */
  nobodySince: number | undefined;
  lastNobody: number;
}

const askEveryMs = 1_000;
/** So long must it be so. A machine that boots or a link that flaps is not away. */
const awayMs = 6_000;
/** Address resolution takes 3 s to give up, then a message comes for every packet that waited. */
const staleMs = 5_000;

/**
 * Whether machines are there at all: asked only of those for whom a change of configuration waits. A machine is away when
 * its link or the last router before it says that nobody has its address. Silence says nothing, for it may be a firewall's;
 * and a kernel that answers is there, though its agent be dead or hang: its pods still send and receive.
 */
export class Absence {
  readonly #options: AbsenceOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #away = new Set<string>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: AbsenceOptions) {
    this.#options = options;
  }

  get away(): ReadonlySet<string> {
    return this.#away;
  }

  /** These and no others. */
  watch(nodes: ReadonlyMap<string, Address>): void {
    for (const [name, { address }] of this.#watched) if (nodes.get(name) !== address) this.forget(name);
    for (const [name, address] of nodes) {
      if (this.#watched.has(name)) continue;
      const socket = this.#options.open(address);
      this.#watched.set(name, { address, socket, nobodySince: undefined, lastNobody: 0 });
    }
    if (nodes.size === 0) this.stop();
    else this.#timer ??= setInterval(() => this.look(), askEveryMs);
  }

  /** It was heard of by another way. */
  forget(name: string): void {
    this.#watched.get(name)?.socket.close();
    this.#watched.delete(name);
    this.#away.delete(name);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { socket } of this.#watched.values()) socket.close();
    this.#watched.clear();
    this.#away.clear();
  }

  /** Hears what came, and asks again. Called by its own timer. */
  look(): void {
    const now = this.#options.clock.monotonic();
    const before = [...this.#away].join();
    for (const [name, watched] of this.#watched) {
      hear(watched, watched.socket.heard(), now);
      if (watched.nobodySince !== undefined && now - watched.lastNobody > staleMs) watched.nobodySince = undefined;
      if (watched.nobodySince !== undefined && now - watched.nobodySince >= awayMs) this.#away.add(name);
      else this.#away.delete(name);
      watched.socket.ask();
    }
    if (before !== [...this.#away].join()) this.#options.onChange();
  }
}

function hear(watched: Watched, presence: Presence | undefined, now: number): void {
  if (presence === "there") watched.nobodySince = undefined;
  if (presence === "nobody") {
    watched.nobodySince ??= now;
    watched.lastNobody = now;
  }
}
