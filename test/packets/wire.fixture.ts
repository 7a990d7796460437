import { type Address, familyOf } from "../../src/base/address.ts";
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
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  tryAccept,
  tryConnect,
  tryReceive,
  trySend,
} from "../../src/kernel/socket.ts";
import type { TestNetns } from "../support/netns.ts";

/** Milliseconds for what should come. */
const patience = 8_000;

/** Asks again and again until it is so. */
export function eventually(what: string, holds: () => boolean): void {
  for (const until = Date.now() + patience; !holds(); Bun.sleepSync(2)) {
    if (Date.now() > until) throw new Error(`never happened: ${what}`);
  }
}

const domainOf = (address: Address): number => (familyOf(address) === 4 ? AF_INET : AF_INET6);

/** A socket of a test, closed with its `Wire`. */
export class Wire {
  readonly #open: number[] = [];
  readonly buffer = new Uint8Array(70_000);

  socket(netns: TestNetns, domain: number, type: number, protocol = 0): number {
    const fd = inNetns(netns.fd, () => openSocket(domain, type, protocol, { nonBlocking: true }));
    this.#open.push(fd);
    return fd;
  }

  udp(netns: TestNetns, address: Address, port = 0): number {
    const fd = this.socket(netns, domainOf(address), SOCK_DGRAM);
    bindSocket(fd, encodeSockaddr(address, port));
    return fd;
  }

  listen(netns: TestNetns, address: Address, port: number): number {
    const fd = this.socket(netns, domainOf(address), SOCK_STREAM);
    bindSocket(fd, encodeSockaddr(address, port));
    listenSocket(fd, 16);
    return fd;
  }

  /** Begins to connect; `connected` says what came of it. */
  connect(netns: TestNetns, from: Address, to: Address, port: number): number {
    const fd = this.socket(netns, domainOf(to), SOCK_STREAM);
    bindSocket(fd, encodeSockaddr(from, 0));
    tryConnect(fd, encodeSockaddr(to, port));
    return fd;
  }

  /** A socket that hears of errors: datagrams to this destination only. */
  connectUdp(netns: TestNetns, from: Address, to: Address, port: number): number {
    const fd = this.udp(netns, from);
    tryConnect(fd, encodeSockaddr(to, port));
    return fd;
  }

  /** The other end's socket, when somebody has connected. */
  accept(listener: number): number | undefined {
    const fd = tryAccept(listener);
    if (fd < 0) return undefined;
    this.#open.push(fd);
    return fd;
  }

  raw(netns: TestNetns, family: 4 | 6, protocol: number): number {
    return this.socket(netns, family === 4 ? AF_INET : AF_INET6, SOCK_RAW, protocol);
  }

  /** @returns the negated errno when it could not be sent. */
  send(fd: number, bytes: Uint8Array, to?: Address, port = 0): number {
    return trySend(fd, bytes, 0, to === undefined ? undefined : encodeSockaddr(to, port));
  }

  /** Bytes that wait, or a negated errno. */
  receive(fd: number): number {
    return tryReceive(fd, this.buffer, MSG_DONTWAIT);
  }

  /** errno that the socket was told: an ICMP error, a reset. */
  error(fd: number): number {
    return getOption(fd, SOL_SOCKET, SO_ERROR);
  }

  close(): void {
    for (const fd of this.#open) closeFile(fd);
  }
}
