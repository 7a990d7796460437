import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import { type Address, familyOf } from "../../src/base/address.ts";
import { EINPROGRESS } from "../../src/kernel/errno.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  getOption,
  listenSocket,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  socketName,
  tryAccept,
  tryConnect,
  tryReceive,
  trySend,
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
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** errno of the stream; 0: it lives. */
  readonly streamError: number;
}

const chunk = new Uint8Array(1000).fill(0x74);

/** One datagram a millisecond, numbered, and one TCP stream, from one place to another. */
class Flow {
  readonly #pair: Pair;
  readonly #udp: readonly [number, number];
  readonly #tcp: number;
  readonly #listener: number;
  readonly #seen = new Set<number>();
  readonly #buffer = new Uint8Array(65536);
  #accepted = -1;
  #sent = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #streamError = 0;

  constructor(pair: Pair) {
    this.#pair = pair;
    const domain = familyOf(pair.source) === 4 ? AF_INET : AF_INET6;
    const open = (netns: number, type: number) =>
      inNetns(netns, () => openSocket(domain, type, 0, { nonBlocking: true }));
    const [sender, receiver] = [open(pair.from, SOCK_DGRAM), open(pair.to, SOCK_DGRAM)];
    this.#udp = [sender, receiver];
    bindSocket(sender, encodeSockaddr(pair.source, 0));
    bindSocket(receiver, encodeSockaddr(pair.destination, 0));
    tryConnect(sender, socketName(receiver));
    this.#listener = open(pair.to, SOCK_STREAM);
    bindSocket(this.#listener, encodeSockaddr(pair.destination, 0));
    listenSocket(this.#listener, 1);
    this.#tcp = open(pair.from, SOCK_STREAM);
    bindSocket(this.#tcp, encodeSockaddr(pair.source, 0));
    const result = tryConnect(this.#tcp, socketName(this.#listener));
    if (result !== 0 && result !== -EINPROGRESS) this.#streamError = -result;
  }

  send(): void {
    const number = new Uint8Array(4);
    new DataView(number.buffer).setUint32(0, this.#sent);
    this.#sent++;
    trySend(this.#udp[0], number);
    if (this.#accepted < 0) return;
    const result = trySend(this.#tcp, chunk);
    if (result > 0) this.#bytesSent += result;
  }

  receive(): void {
    for (;;) {
      const length = tryReceive(this.#udp[1], this.#buffer, MSG_DONTWAIT);
      if (length !== 4) break;
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

  finish(): Outcome {
    for (const fd of [...this.#udp, this.#tcp, this.#listener, this.#accepted]) if (fd >= 0) closeFile(fd);
    return {
      name: this.#pair.name,
      datagramsSent: this.#sent,
      datagramsLost: this.#sent - this.#seen.size,
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

  constructor(pairs: readonly Pair[]) {
    this.#flows = pairs.map((pair) => new Flow(pair));
    this.#timer = setInterval(() => this.#tick(), 1);
  }

  /** Timers come late when the process is busy: what is missing of one a millisecond is caught up with. */
  #tick(): void {
    const due = Math.min(performance.now() - this.#started - this.#ticks, 20);
    for (let count = 0; count < due; count++) for (const flow of this.#flows) flow.send();
    this.#ticks = Math.floor(performance.now() - this.#started);
    for (const flow of this.#flows) flow.receive();
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
