import { type Clock, systemClock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import { ENOBUFS } from "./errno.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { POLLIN } from "./poll.ts";
import type { Poller, PollWatch } from "./poller.ts";
import { getOptionBytes, SOL_SOCKET } from "./socket.ts";

/** include/uapi/asm-generic/socket.h, linux/sock_diag.h: nine counters of 32 bits, the last one what found no room. */
const SO_MEMINFO = 55;
const memoryCounters = 9;
const droppedAt = 32;

/** Datagrams taken in one turn of the event loop, so that a storm leaves room for other work. */
const datagramsPerTurn = 128;
/** Between two looks: events that come one by one are read by the dozen, for to be woken costs more than to read. */
const pauseMs = 50;
/** Types below are netlink's own: the end of a batch (NLMSG_DONE), no-ops. */
const firstOfSubsystem = 16;

export interface EventPace {
  /** Messages a second that are read in the long run. What comes faster waits in the socket's buffer, and is lost when that is full. */
  readonly perSecond: number;
  /** Messages that may be read at once after a quiet time. */
  readonly burst: number;
}

/** What a stream of events tells of itself. */
export interface EventCounters {
  readonly received: number;
  /** Found no room in the socket's buffer (ENOBUFS), counted by the kernel. */
  readonly lost: number;
  /** Were not what they claimed to be. */
  readonly corrupt: number;
}

/**
 * Reads what a netlink socket is sent without asking, at a bounded pace: events are made by whoever sends packets, so a flood of them
 * must cost this process no more than its share; and they are for people, who do not mind a moment. Unlike watchRtnl it tells of losses by counting them: what is lost can not be read again.
 */
export class NetlinkEvents {
  readonly #socket: NetlinkSocket;
  readonly #pace: EventPace;
  readonly #deliver: (message: NetlinkMessage) => void;
  readonly #clock: Clock;
  readonly #watch: PollWatch;
  readonly #memory = new Uint8Array(memoryCounters * 4);
  readonly #stop = new AbortController();
  #tokens: number;
  #refilled: number;
  #received = 0;
  #corrupt = 0;
  #lost = 0;

  /**
   * @param socket is closed with this.
   * @param deliver one message; TwillError `corrupt` is counted. Others must not be thrown.
   */
  constructor(
    poller: Poller,
    socket: NetlinkSocket,
    pace: EventPace,
    deliver: (message: NetlinkMessage) => void,
    clock: Clock = systemClock,
  ) {
    this.#socket = socket;
    this.#pace = pace;
    this.#deliver = deliver;
    this.#clock = clock;
    this.#tokens = pace.burst;
    this.#refilled = clock.monotonic();
    this.#watch = poller.watch(socket.fd, POLLIN, () => this.#drain());
  }

  get counters(): EventCounters {
    if (!this.#stop.signal.aborted) this.#lost = this.#dropped();
    return { received: this.#received, lost: this.#lost, corrupt: this.#corrupt };
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#lost = this.#dropped();
    this.#stop.abort();
    this.#watch.close();
    this.#socket.close();
  }

  #drain(): void {
    this.#refill();
    for (let count = 0; count < datagramsPerTurn && !this.#stop.signal.aborted; count++) {
      const messages = this.#tokens > 0 ? this.#receive() : undefined;
      if (messages === undefined) return void this.#pause();
      for (const message of messages) {
        if (message.type < firstOfSubsystem || this.#stop.signal.aborted) continue;
        this.#tokens--;
        this.#received++;
        this.#tell(message);
      }
    }
  }

  #refill(): void {
    const now = this.#clock.monotonic();
    const { perSecond, burst } = this.#pace;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#refilled) / 1000) * perSecond);
    this.#refilled = now;
  }

  /** The poller is told to look away: a socket that is ready and not read would wake the thread without end. */
  async #pause(): Promise<void> {
    this.#watch.change(0);
    await this.#clock.sleep(pauseMs, this.#stop.signal);
    if (!this.#stop.signal.aborted) this.#watch.change(POLLIN);
  }

  #receive(): readonly NetlinkMessage[] | undefined {
    try {
      return this.#socket.receive();
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      // Lost ones are counted by the kernel; reading goes on behind them.
      if (error.errno !== ENOBUFS) this.#corrupt++;
      return [];
    }
  }

  #tell(message: NetlinkMessage): void {
    try {
      this.#deliver(message);
    } catch (error) {
      if (!(error instanceof TwillError) || error.code !== "corrupt") throw error;
      this.#corrupt++;
    }
  }

  #dropped(): number {
    getOptionBytes(this.#socket.fd, SOL_SOCKET, SO_MEMINFO, this.#memory);
    return new DataView(this.#memory.buffer).getUint32(droppedAt, true);
  }
}
