import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { EchoSocket } from "../../../src/kernel/echo-socket.ts";

export interface AbsenceOptions {
  readonly open: () => EchoSocket;
  readonly clock: Pick<Clock, "monotonic">;
  /** A machine was found to be away, or to be there again. */
  readonly onChange: () => void;
}

interface Watched {
  readonly address: Address;
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
  #socket: EchoSocket | undefined;
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
      if (!this.#watched.has(name)) this.#watched.set(name, { address, nobodySince: undefined, lastNobody: 0 });
    }
    if (nodes.size === 0) this.stop();
    else this.#timer ??= setInterval(() => this.look(), askEveryMs);
  }

  /** It was heard of by another way. */
  forget(name: string): void {
    this.#watched.delete(name);
    this.#away.delete(name);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#socket?.close();
    this.#socket = undefined;
    this.#watched.clear();
    this.#away.clear();
  }

  /** Hears what came, and asks again. Called by its own timer. */
  look(): void {
    const now = this.#options.clock.monotonic();
    this.#socket ??= this.#options.open();
    for (const { address, presence } of this.#socket.answers()) {
      for (const watched of this.#watched.values()) if (watched.address === address) hear(watched, presence, now);
    }
    const before = [...this.#away].join();
    for (const [name, watched] of this.#watched) {
      if (watched.nobodySince !== undefined && now - watched.lastNobody > staleMs) watched.nobodySince = undefined;
      if (watched.nobodySince !== undefined && now - watched.nobodySince >= awayMs) this.#away.add(name);
      else this.#away.delete(name);
      this.#socket.ask(watched.address);
    }
    if (before !== [...this.#away].join()) this.#options.onChange();
  }
}

function hear(watched: Watched, presence: "there" | "nobody", now: number): void {
  if (presence === "there") watched.nobodySince = undefined;
  else {
    watched.nobodySince ??= now;
    watched.lastNobody = now;
  }
}
