import { type Address, familyOf } from "../../../src/base/address.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS } from "../../../src/kernel/errno.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
import { POLLIN, POLLOUT, PollSet } from "../../../src/kernel/poll.ts";
import { encodeSockaddr } from "../../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  getOption,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  tryConnect,
  tryReceive,
  trySend,
} from "../../../src/kernel/socket.ts";
import type { Answer, Probe } from "../probe.ts";
import { PodServers, sctpChunk, sctpPacket } from "./pod-servers.ts";
import { ipProtocols } from "./raw-packet.ts";

export interface ProbePlace {
  /** Open descriptor of its network namespace; stays the caller's. */
  readonly netns: number;
  readonly addresses: readonly Address[];
}

/** Milliseconds for answers that should come, and for others behind the last of them. */
const patience = 4_000;
const grace = 40;

/** One attempt that is under way. */
interface Attempt {
  readonly probe: Probe;
  readonly fd: number;
  readonly sourcePort: number;
  answer?: Answer;
}

/**
 * Probes between network namespaces of this machine, all at the same time: real connections by TCP, datagrams that are sent back, and
 * SCTP's first exchange. Wherever the pods come from, a bare cluster, the lab or a kubelet, the sockets are this process's.
 */
export class Prober {
  readonly #places: ReadonlyMap<string, ProbePlace>;
  readonly #servers: readonly PodServers[];
  /** By namespace and family. */
  readonly #sctp = new Map<string, number>();
  readonly #buffer = new Uint8Array(2048);
  /** By who sends: no two probes of one sender have the same port, or the second might pass as part of the first's connection. */
  readonly #ports = new Map<string, number>();

  /** @param served where the ports are served: pods, by name. */
  constructor(places: ReadonlyMap<string, ProbePlace>, served: readonly string[], ports: readonly number[]) {
    this.#places = places;
    this.#servers = served.map((name) => {
      const { netns, addresses } = this.#place(name);
      return new PodServers(netns, addresses, ports);
    });
  }

  /**
   * @param expected what should come of it: the wait ends as soon as that is seen, and a little grace for what should not.
   * @returns the answers, in the probes' order.
   */
  probe(probes: readonly Probe[], expected: (probe: Probe) => Answer): Answer[] {
    const sockets = this.#open(probes);
    const attempts = probes.map((probe, index) => this.#begin(probe, sockets[index] ?? -1));
    let missing = attempts.filter(({ probe }) => expected(probe) !== "timed out");
    let graceUntil = Number.POSITIVE_INFINITY;
    for (const until = Date.now() + patience; Date.now() < Math.min(until, graceUntil); ) {
      const pending = attempts.filter(({ answer }) => answer === undefined);
      if (pending.length === 0) break;
      this.#wait(pending);
      missing = missing.filter(({ answer }) => answer === undefined);
      if (missing.length === 0) graceUntil = Math.min(graceUntil, Date.now() + grace);
    }
    for (const { probe, fd } of attempts) if (probe.protocol !== "SCTP") closeFile(fd);
    return attempts.map(({ answer }) => answer ?? "timed out");
  }

  /** Until something happens, a few milliseconds at most, and deals with it. */
  #wait(pending: readonly Attempt[]): void {
    const set = new PollSet(1024);
    const sctp = new Map(
      pending.flatMap((one) => (one.probe.protocol === "SCTP" ? [[sctpKey(one), one] as const] : [])),
    );
    const watched: { readonly events: number; readonly fd: number; readonly ready: () => void }[] = [
      ...this.#servers.flatMap(({ sockets }) =>
        sockets.map(({ fd, answer }) => ({ fd, events: POLLIN, ready: answer })),
      ),
      ...[...this.#sctp].map(([place, fd]) => ({ fd, events: POLLIN, ready: () => this.#readSctp(place, fd, sctp) })),
      ...pending.flatMap((attempt) => this.#watch(attempt)),
    ];
    for (const { fd, events } of watched) set.add(fd, events);
    if (set.wait(5) <= 0) return;
    for (const [index, { ready }] of watched.entries()) if (set.returned(index) !== 0) ready();
  }

  #watch(attempt: Attempt): { readonly events: number; readonly fd: number; readonly ready: () => void }[] {
    const { fd, probe } = attempt;
    const settle = (answer: Answer | undefined) => {
      if (answer !== undefined) attempt.answer = answer;
    };
    if (probe.protocol === "TCP") return [{ fd, events: POLLOUT, ready: () => settle(tcpAnswer(fd)) }];
    return probe.protocol === "UDP" ? [{ fd, events: POLLIN, ready: () => settle(this.#udpAnswer(fd)) }] : [];
  }

  /** A namespace is entered once, not once a socket. */
  #open(probes: readonly Probe[]): number[] {
    const fds: number[] = [];
    for (const [from, indexes] of Map.groupBy(probes.keys(), (index) => probes[index]?.from ?? "")) {
      inNetns(this.#place(from).netns, () => {
        for (const index of indexes) {
          const { protocol = "SCTP", family } = probes[index] ?? {};
          const type = protocol === "TCP" ? SOCK_STREAM : SOCK_DGRAM;
          if (protocol !== "SCTP")
            fds[index] = openSocket(family === 4 ? AF_INET : AF_INET6, type, 0, { nonBlocking: true });
        }
      });
    }
    return fds;
  }

  #begin(probe: Probe, fd: number): Attempt {
    const { from, to, protocol, port, family } = probe;
    const [source, destination] = [this.#address(from, family), this.#address(to, family)];
    const sourcePort = (this.#ports.get(from) ?? 10_000) + 1;
    this.#ports.set(from, sourcePort < 65_000 ? sourcePort : 10_000);
    const remote = encodeSockaddr(destination, protocol === "SCTP" ? 0 : port);
    if (protocol === "SCTP") {
      const raw = this.#sctpSocket(from, family);
      trySend(raw, sctpPacket(sourcePort, port, 0, sctpChunk.init), 0, remote);
      return { probe, fd: raw, sourcePort };
    }
    bindSocket(fd, encodeSockaddr(source, sourcePort));
    const result = tryConnect(fd, remote);
    const attempt: Attempt = { probe, fd, sourcePort };
    if (result === -ECONNREFUSED) attempt.answer = "refused";
    else if (protocol === "UDP") trySend(fd, Uint8Array.of(1, 2, 3, 4));
    else if (result < 0 && result !== -EINPROGRESS) throw new Error(`${from} to ${to}: errno ${-result}`);
    return attempt;
  }

  #udpAnswer(fd: number): Answer | undefined {
    const length = tryReceive(fd, this.#buffer, MSG_DONTWAIT);
    return length >= 0 ? "connected" : length === -EAGAIN ? undefined : "refused";
  }

  #sctpSocket(name: string, family: 4 | 6): number {
    const key = `${name} ${family}`;
    const open = () => openSocket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW, ipProtocols.SCTP, { nonBlocking: true });
    const fd = this.#sctp.get(key) ?? inNetns(this.#place(name).netns, open);
    if (!this.#sctp.has(key)) bindSocket(fd, encodeSockaddr(this.#address(name, family), 0));
    this.#sctp.set(key, fd);
    return fd;
  }

  #readSctp(place: string, fd: number, waiting: ReadonlyMap<string, Attempt>): void {
    for (;;) {
      const length = tryReceive(fd, this.#buffer, MSG_DONTWAIT);
      if (length < 0) return;
      const start = place.endsWith("4") ? ((this.#buffer[0] ?? 0) & 15) * 4 : 0;
      const chunk = this.#buffer[start + 12];
      const attempt = waiting.get(`${place} ${new DataView(this.#buffer.buffer).getUint16(start + 2)}`);
      if (attempt === undefined) continue;
      if (chunk === sctpChunk.initAck) attempt.answer = "connected";
      if (chunk === sctpChunk.abort) attempt.answer = "refused";
    }
  }

  #place(name: string): ProbePlace {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`nobody is called ${name}`);
    return place;
  }

  #address(name: string, family: 4 | 6): Address {
    const address = this.#place(name).addresses.find((one) => familyOf(one) === family);
    if (address === undefined) throw new Error(`${name} has no IPv${family} address`);
    return address;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const fd of this.#sctp.values()) closeFile(fd);
  }
}

const sctpKey = ({ probe, sourcePort }: Attempt): string => `${probe.from} ${probe.family} ${sourcePort}`;

/** Of a socket that poll(2) calls writable: then connect(2) is over, and SO_ERROR tells how. */
function tcpAnswer(fd: number): Answer {
  const error = getOption(fd, SOL_SOCKET, SO_ERROR);
  if (error === ECONNREFUSED) return "refused";
  return error === 0 ? "connected" : "timed out";
}
