import { familyOf } from "../../src/base/address.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  MSG_DONTWAIT,
  openSocket,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_DGRAM,
  SOL_SOCKET,
  setOption,
  socketName,
  tryConnect,
  tryReceive,
  trySend,
  trySetOption,
} from "../../src/kernel/socket.ts";
import type { Pair } from "./traffic.fixture.ts";

/** Where a pair's pods are. */
export interface PlacedPair extends Pair {
  readonly nodes: readonly [from: string, to: string];
}

/** What the receiving process cannot take at once must not count as lost on the way. Bytes. */
const patience = 4 << 20;
/** A path works again when so many datagrams one after the other have arrived. */
const proof = 10;
/** Nothing is under way so long, milliseconds. */
const underWay = 500;

/** Numbered datagrams of one pair, with the moment of each. */
export class SteadyFlow {
  readonly pair: PlacedPair;
  readonly #sockets: readonly [from: number, to: number];
  readonly #sentAt: number[] = [];
  readonly #arrived = new Set<number>();
  readonly #datagram = new Uint8Array(64);
  readonly #buffer = new Uint8Array(64);

  constructor(pair: PlacedPair) {
    this.pair = pair;
    const domain = familyOf(pair.source) === 4 ? AF_INET : AF_INET6;
    const open = (netns: number) => inNetns(netns, () => openSocket(domain, SOCK_DGRAM, 0, { nonBlocking: true }));
    const [from, to] = [open(pair.from), open(pair.to)];
    this.#sockets = [from, to];
    bindSocket(from, encodeSockaddr(pair.source, 0));
    bindSocket(to, encodeSockaddr(pair.destination, 0));
    tryConnect(from, socketName(to));
    if (!trySetOption(to, SOL_SOCKET, SO_RCVBUFFORCE, patience)) setOption(to, SOL_SOCKET, SO_RCVBUF, patience);
  }

  get sent(): number {
    return this.#sentAt.length;
  }

  /** What the kernel refuses to send (it knows of no way, or tells of an error of before) is as lost as any other. */
  send(): void {
    new DataView(this.#datagram.buffer).setUint32(0, this.sent);
    this.#sentAt.push(performance.now());
    trySend(this.#sockets[0], this.#datagram);
  }

  receive(): void {
    while (tryReceive(this.#sockets[1], this.#buffer, MSG_DONTWAIT) >= 4)
      this.#arrived.add(new DataView(this.#buffer.buffer).getUint32(0));
  }

  /** All of what was sent lately, and had the time to arrive, did; enough of it after that moment. */
  worksSince(moment: number): boolean {
    const settled = performance.now() - underWay;
    let last = this.sent - 1;
    while (last >= 0 && (this.#sentAt[last] ?? 0) > settled) last--;
    for (let number = last; number > last - proof; number--)
      if (!this.#arrived.has(number) || (this.#sentAt[number] ?? 0) < moment) return false;
    return true;
  }

  /** The moments of those that did not arrive. */
  lost(): readonly number[] {
    return this.#sentAt.filter((_, number) => !this.#arrived.has(number));
  }

  close(): void {
    for (const socket of this.#sockets) closeFile(socket);
  }
}

/** Datagrams on all pairs, at one rate, for as long as a test may last. */
export class SteadyTraffic {
  readonly flows: readonly SteadyFlow[];
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param interval between two datagrams of a pair, milliseconds. */
  constructor(pairs: readonly PlacedPair[], interval: number) {
    this.flows = pairs.map((pair) => new SteadyFlow(pair));
    this.#timer = setInterval(() => {
      for (const flow of this.flows) flow.send();
      for (const flow of this.flows) flow.receive();
    }, interval);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Bun.sleep(2 * underWay);
    for (const flow of this.flows) flow.receive();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const flow of this.flows) flow.close();
  }
}
