import { type Address, familyOf } from "../../src/base/address.ts";
import { EINPROGRESS } from "../../src/kernel/errno.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  getOption,
  listenSocket,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setOption,
  socketName,
  tryAccept,
  tryConnect,
  tryReceive,
  trySend,
  trySetOption,
} from "../../src/kernel/socket.ts";

/** Addresses, of one family, of two places and the descriptors of their network namespaces. */
export interface Pair {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly source: Address;
  readonly destination: Address;
}

export interface Outcome {
  readonly name: string;
  readonly datagramsSent: number;
  readonly datagramsLost: number;
  /** Numbers of the first few: one a millisecond. */
  readonly lost: readonly number[];
  /** Of datagrams, bytes. */
  readonly lengths: readonly number[];
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** errno of the stream; 0: it lives. */
  readonly streamError: number;
}

const chunk = new Uint8Array(1000).fill(0x74);

/** include/uapi/linux/in.h and in6.h: where a socket says what fits, and is told not to fragment; both headers, bytes. */
const path = {
  4: { level: 0, discover: 10, mtu: 14, headers: 28 },
  6: { level: 41, discover: 23, mtu: 24, headers: 48 },
} as const;
const PMTUDISC_DO = 2;
const EMSGSIZE = 90;
/** What the receiving process cannot take at once must not count as lost on the way. Bytes. */
const patience = 16 << 20;

export interface TrafficOptions {
  /** Datagrams are as long as the sender's path allows at the moment, and must not be fragmented. */
  readonly fullSize?: boolean;
}

/** One datagram a millisecond, numbered, and one TCP stream, from one place to another. */
class Flow {
  readonly #fullSize: boolean;
  readonly #path: (typeof path)[4 | 6];
  readonly #pair: Pair;
  readonly #udp: readonly [number, number];
  readonly #tcp: number;
  readonly #listener: number;
  readonly #seen = new Set<number>();
  readonly #lengths = new Set<number>();
  readonly #buffer = new Uint8Array(65536);
  #accepted = -1;
  #sent = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #streamError = 0;

  constructor(pair: Pair, { fullSize = false }: TrafficOptions) {
    this.#pair = pair;
    this.#fullSize = fullSize;
    const domain = familyOf(pair.source) === 4 ? AF_INET : AF_INET6;
    const open = (netns: number, type: number) =>
      inNetns(netns, () => openSocket(domain, type, 0, { nonBlocking: true }));
    const [sender, receiver] = [open(pair.from, SOCK_DGRAM), open(pair.to, SOCK_DGRAM)];
    this.#udp = [sender, receiver];
    bindSocket(sender, encodeSockaddr(pair.source, 0));
    bindSocket(receiver, encodeSockaddr(pair.destination, 0));
    tryConnect(sender, socketName(receiver));
    // Beyond net.core.rmem_max for the machine's root only; what fewer bytes hold is enough on a machine that is not too busy.
    if (!trySetOption(receiver, SOL_SOCKET, SO_RCVBUFFORCE, patience))
      setOption(receiver, SOL_SOCKET, SO_RCVBUF, patience);
    this.#path = path[familyOf(pair.source)];
    if (fullSize) setOption(sender, this.#path.level, this.#path.discover, PMTUDISC_DO);
    this.#listener = open(pair.to, SOCK_STREAM);
    bindSocket(this.#listener, encodeSockaddr(pair.destination, 0));
    listenSocket(this.#listener, 1);
    this.#tcp = open(pair.from, SOCK_STREAM);
    bindSocket(this.#tcp, encodeSockaddr(pair.source, 0));
    const result = tryConnect(this.#tcp, socketName(this.#listener));
    if (result !== 0 && result !== -EINPROGRESS) this.#streamError = -result;
  }

  send(): void {
    this.#sendDatagram();
    if (this.#accepted < 0) return;
    const result = trySend(this.#tcp, chunk);
    if (result > 0) this.#bytesSent += result;
  }

  /** The kernel says what fits, and says so anew when it changed meanwhile. */
  #sendDatagram(): void {
    for (let attempt = 0; attempt < 3; attempt++) {
      const { level, mtu, headers } = this.#path;
      const length = this.#fullSize ? getOption(this.#udp[0], level, mtu) - headers : 4;
      const datagram = new Uint8Array(length);
      new DataView(datagram.buffer).setUint32(0, this.#sent);
      if (trySend(this.#udp[0], datagram) === -EMSGSIZE) continue;
      this.#lengths.add(length);
      break;
    }
    this.#sent++;
  }

  receive(): void {
    for (;;) {
      const length = tryReceive(this.#udp[1], this.#buffer, MSG_DONTWAIT);
      if (length < 4) break;
      this.#seen.add(new DataView(this.#buffer.buffer).getUint32(0));
    }
    if (this.#accepted < 0) this.#accepted = tryAccept(this.#listener);
    if (this.#accepted >= 0) {
      const length = tryReceive(this.#accepted, this.#buffer, MSG_DONTWAIT);
      if (length > 0) this.#bytesReceived += length;
    }
    this.#streamError ||= getOption(this.#tcp, SOL_SOCKET, SO_ERROR);
  }

  get settled(): boolean {
    return this.#seen.size === this.#sent && this.#bytesReceived === this.#bytesSent;
  }

  /** Numbers of the first few that did not arrive. */
  #firstLost(): number[] {
    const lost: number[] = [];
    for (let number = 0; number < this.#sent && lost.length < 5; number++)
      if (!this.#seen.has(number)) lost.push(number);
    return lost;
  }

  get lostSoFar(): number {
    return this.#sent - this.#seen.size;
  }

  finish(): Outcome {
    for (const fd of [...this.#udp, this.#tcp, this.#listener, this.#accepted]) if (fd >= 0) closeFile(fd);
    return {
      name: this.#pair.name,
      datagramsSent: this.#sent,
      datagramsLost: this.#sent - this.#seen.size,
      lost: this.#firstLost(),
      lengths: [...this.#lengths].sort(),
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      streamError: this.#streamError,
    };
  }
}

/** Flows that run until they are stopped, whatever is done to the cluster meanwhile. */
export class Traffic {
  readonly #flows: readonly Flow[];
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #started = performance.now();
  #ticks = 0;

  constructor(pairs: readonly Pair[], options: TrafficOptions = {}) {
    this.#flows = pairs.map((pair) => new Flow(pair, options));
    this.#timer = setInterval(() => this.#tick(), 1);
  }

  /** Timers come late when the process is busy: what is missing of one a millisecond is caught up with. */
  #tick(): void {
    const due = Math.min(performance.now() - this.#started - this.#ticks, 20);
    for (let count = 0; count < due; count++) for (const flow of this.#flows) flow.send();
    this.#ticks = Math.floor(performance.now() - this.#started);
    for (const flow of this.#flows) flow.receive();
  }

  /** Sent and not arrived yet, of all flows: for finding the moment of a loss. */
  get pending(): number {
    return this.#flows.reduce((sum, flow) => sum + flow.lostSoFar, 0);
  }

  /** What was under way has two seconds to arrive. */
  async stop(): Promise<Outcome[]> {
    clearInterval(this.#timer);
    const deadline = performance.now() + 2000;
    while (performance.now() < deadline && !this.#flows.every((flow) => flow.settled)) {
      for (const flow of this.#flows) flow.receive();
      await Bun.sleep(1);
    }
    return this.#flows.map((flow) => flow.finish());
  }
}

/** In words; empty when no datagram was lost and no stream broken. */
export const losses = (outcomes: readonly Outcome[]): string[] =>
  outcomes
    .filter(
      ({ datagramsSent, datagramsLost, bytesSent, bytesReceived, streamError }) =>
        datagramsSent === 0 || bytesSent === 0 || datagramsLost > 0 || bytesReceived !== bytesSent || streamError !== 0,
    )
    .map((outcome) => JSON.stringify(outcome));
