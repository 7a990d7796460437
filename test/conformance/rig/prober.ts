import { type Address, familyOf } from "../../../src/base/address.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS } from "../../../src/kernel/errno.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
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
  #port = 20_000;

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
    const attempts = probes.map((probe) => this.#begin(probe));
    const wanted = attempts.filter(({ probe }) => expected(probe) !== "timed out");
    let quietSince: number | undefined;
    for (const until = Date.now() + patience; Date.now() < until; Bun.sleepSync(1)) {
      for (const server of this.#servers) server.answer();
      const before = attempts.filter(({ answer }) => answer !== undefined).length;
      this.#lookAt(attempts);
      const now = attempts.filter(({ answer }) => answer !== undefined).length;
      if (now > before || wanted.some(({ answer }) => answer === undefined)) quietSince = undefined;
      else quietSince ??= Date.now();
      if (quietSince !== undefined && (now === attempts.length || Date.now() - quietSince > grace)) break;
    }
    for (const { probe, fd } of attempts) if (probe.protocol !== "SCTP") closeFile(fd);
    return attempts.map(({ answer }) => answer ?? "timed out");
  }

  #begin(probe: Probe): Attempt {
    const { from, to, protocol, port, family } = probe;
    const [source, destination] = [this.#address(from, family), this.#address(to, family)];
    const { netns } = this.#place(from);
    const sourcePort = this.#port;
    this.#port = this.#port === 60_000 ? 20_000 : this.#port + 1;
    const remote = encodeSockaddr(destination, protocol === "SCTP" ? 0 : port);
    if (protocol === "SCTP") {
      const fd = this.#sctpSocket(from, family);
      trySend(fd, sctpPacket(sourcePort, port, 0, sctpChunk.init), 0, remote);
      return { probe, fd, sourcePort };
    }
    const fd = inNetns(netns, () =>
      openSocket(family === 4 ? AF_INET : AF_INET6, protocol === "TCP" ? SOCK_STREAM : SOCK_DGRAM, 0, {
        nonBlocking: true,
      }),
    );
    bindSocket(fd, encodeSockaddr(source, 0));
    const result = tryConnect(fd, remote);
    const attempt: Attempt = { probe, fd, sourcePort };
    if (result === -ECONNREFUSED) attempt.answer = "refused";
    else if (protocol === "UDP") trySend(fd, Uint8Array.of(1, 2, 3, 4));
    else if (result < 0 && result !== -EINPROGRESS) throw new Error(`${from} to ${to}: errno ${-result}`);
    return attempt;
  }

  #lookAt(attempts: readonly Attempt[]): void {
    for (const [key, answer] of this.#sctpAnswers()) {
      const attempt = attempts.find((one) => one.probe.protocol === "SCTP" && sctpKey(one) === key);
      if (attempt !== undefined) attempt.answer ??= answer;
    }
    for (const attempt of attempts) {
      if (attempt.answer !== undefined || attempt.probe.protocol === "SCTP") continue;
      const answer = attempt.probe.protocol === "TCP" ? tcpAnswer(attempt.fd) : this.#udpAnswer(attempt.fd);
      if (answer !== undefined) attempt.answer = answer;
    }
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

  #sctpAnswers(): (readonly [string, Answer])[] {
    const found: (readonly [string, Answer])[] = [];
    for (const [place, fd] of this.#sctp) {
      for (;;) {
        const length = tryReceive(fd, this.#buffer, MSG_DONTWAIT);
        if (length < 0) break;
        const start = place.endsWith("4") ? ((this.#buffer[0] ?? 0) & 15) * 4 : 0;
        const chunk = this.#buffer[start + 12];
        if (chunk !== sctpChunk.initAck && chunk !== sctpChunk.abort) continue;
        const port = new DataView(this.#buffer.buffer).getUint16(start + 2);
        found.push([`${place} ${port}`, chunk === sctpChunk.initAck ? "connected" : "refused"]);
      }
    }
    return found;
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

/** The server closes at once what it accepted, so a connection may have been made and ended already. */
function tcpAnswer(fd: number): Answer | undefined {
  const error = getOption(fd, SOL_SOCKET, SO_ERROR);
  if (error === ECONNREFUSED) return "refused";
  if (error !== 0) return "timed out";
  const state = getOption(fd, IPPROTO_TCP, TCP_INFO) % 0x100;
  return state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT ? "connected" : undefined;
}

/** tcp(7), include/uapi/linux/tcp.h: struct tcp_info begins with the state, one byte (include/net/tcp_states.h). */
const [IPPROTO_TCP, TCP_INFO, TCP_ESTABLISHED, TCP_CLOSE_WAIT] = [6, 11, 1, 8];
