import { type Address, familyOf } from "../../src/base/address.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { POLLIN, PollSet } from "../../src/kernel/poll.ts";
import { decodeSockaddr, encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  listenSocket,
  MSG_DONTWAIT,
  openSocket,
  peerName,
  SOCK_DGRAM,
  SOCK_STREAM,
  socketName,
  tryAccept,
  tryReceive,
  tryReceiveFrom,
  trySend,
} from "../../src/kernel/socket.ts";
import { dontFragment, waitAtMost } from "./options.ts";

/** Every probe starts with a number, by which answers and sightings find back to it. */
export const tokenBytes = 4;

/** Who saw a probe, and from where. */
export type Sightings = Map<number, Address>;

/** Somebody who answers probes, here or in another process. */
export interface Answering {
  readonly udpPort: number;
  readonly tcpPort: number;
  /** Answers all that has arrived. */
  answer(sightings: Sightings): void;
  /** Echoes one datagram, waiting for it unless MSG_DONTWAIT is given. Whether there was one. */
  answerDatagram(flags?: number): boolean;
}

/** Another process answers by itself. */
export const elsewhere = (udpPort: number, tcpPort: number): Answering => ({
  udpPort,
  tcpPort,
  answer: () => {},
  answerDatagram: () => true,
});

interface Connection {
  readonly fd: number;
  readonly peer: Address;
}

/** Answers TCP and UDP in one namespace with what it was sent, and remembers the address that each probe came from. */
export class Responder implements Answering {
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly #udp: number;
  readonly #tcp: number;
  #connections: Connection[] = [];
  readonly #buffer = new Uint8Array(65536);
  readonly #from = new Uint8Array(128);
  readonly #fromLength = new Uint32Array(1);

  /** @param address is bound, not the wildcard: else an answer could leave with another address of the same host. */
  constructor(netns: number, address: Address) {
    const family = familyOf(address);
    const domain = family === 4 ? AF_INET : AF_INET6;
    [this.#udp, this.#tcp] = inNetns(netns, () => [
      openSocket(domain, SOCK_DGRAM, 0),
      openSocket(domain, SOCK_STREAM, 0, { nonBlocking: true }),
    ]);
    for (const fd of [this.#udp, this.#tcp]) bindSocket(fd, encodeSockaddr(address, 0));
    dontFragment(this.#udp, family);
    waitAtMost(this.#udp);
    listenSocket(this.#tcp, 1024);
    this.udpPort = decodeSockaddr(socketName(this.#udp)).port;
    this.tcpPort = decodeSockaddr(socketName(this.#tcp)).port;
  }

  answer(sightings: Sightings): void {
    while (this.answerDatagram(MSG_DONTWAIT, sightings)) {}
    for (;;) {
      const fd = tryAccept(this.#tcp);
      if (fd < 0) break;
      const peer = peerName(fd);
      if (peer === undefined) closeFile(fd);
      else this.#connections.push({ fd, peer: decodeSockaddr(peer).address });
    }
    this.#connections = this.#connections.filter((connection) => !this.#answerConnection(connection, sightings));
  }

  answerDatagram(flags = 0, sightings?: Sightings): boolean {
    const from = this.receiveDatagram(flags, sightings);
    if (from === undefined) return false;
    trySend(this.#udp, this.#buffer.subarray(0, from.length), 0, from.address);
    return true;
  }

  /** Takes one datagram without answering. */
  receiveDatagram(flags = 0, sightings?: Sightings): { address: Uint8Array; length: number } | undefined {
    const length = tryReceiveFrom(this.#udp, this.#buffer, flags, this.#from, this.#fromLength);
    if (length < 0) return undefined;
    const address = this.#from.slice(0, this.#fromLength[0]);
    if (length >= tokenBytes) sightings?.set(readToken(this.#buffer), decodeSockaddr(address).address);
    return { address, length };
  }

  /** Whether it is done with. */
  #answerConnection({ fd, peer }: Connection, sightings: Sightings): boolean {
    const length = tryReceive(fd, this.#buffer, MSG_DONTWAIT);
    if (length < 0) return false;
    if (length >= tokenBytes) {
      sightings.set(readToken(this.#buffer), peer);
      trySend(fd, this.#buffer.subarray(0, length));
    }
    closeFile(fd);
    return true;
  }

  /** Waits until there is something to answer, at most so many milliseconds. */
  wait(milliseconds: number): void {
    const fds = [this.#udp, this.#tcp, ...this.#connections.map((connection) => connection.fd)];
    const set = new PollSet(fds.length);
    for (const fd of fds) set.add(fd, POLLIN);
    set.wait(milliseconds);
  }

  close(): void {
    for (const fd of [this.#udp, this.#tcp, ...this.#connections.map((connection) => connection.fd)]) closeFile(fd);
  }
}

export const readToken = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);

export function writeToken(token: number, length = tokenBytes): Uint8Array {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, token);
  return bytes;
}
