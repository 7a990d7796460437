import type { Family } from "../../../src/base/address.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
import { AF_INET, AF_INET6, MSG_DONTWAIT, openSocket, SOCK_RAW, tryReceive } from "../../../src/kernel/socket.ts";
import { ipProtocols } from "./raw-packet.ts";

export interface Open {
  readonly fd: number;
  readonly family: Family;
  readonly protocol: number;
}

const [echoRequest, echoRequest6] = [8, 128];

/** Sees every packet that a network namespace takes in for itself, behind its input hook, and knows it by its token. */
export class Listener {
  readonly sockets: readonly Open[];
  readonly #buffer = new Uint8Array(2048);

  constructor(netns: number) {
    const { TCP, UDP, SCTP, GRE, ICMP, ICMPv6 } = ipProtocols;
    this.sockets = inNetns(netns, () => [
      ...[TCP, UDP, SCTP, GRE, ICMP].map((protocol) => open(4, protocol)),
      ...[TCP, UDP, SCTP, GRE, ICMPv6].map((protocol) => open(6, protocol)),
    ]);
  }

  /** Tokens of what came to one of the sockets since the last call. */
  drain({ fd, family, protocol }: Open): number[] {
    const tokens: number[] = [];
    for (;;) {
      const length = tryReceive(fd, this.#buffer, MSG_DONTWAIT);
      if (length < 0) return tokens;
      // IPv4's raw sockets give the IP header too (raw(7)), IPv6's do not (RFC 3542 section 3).
      const start = family === 4 ? ((this.#buffer[0] ?? 0) & 15) * 4 : 0;
      const type = this.#buffer[start];
      const isEcho = type === (family === 4 ? echoRequest : echoRequest6);
      // Errors quote the packet that they are about, with its token.
      const isIcmp = protocol === ipProtocols.ICMP || protocol === ipProtocols.ICMPv6;
      if (length - start < 8 || (isIcmp && !isEcho)) continue;
      tokens.push(new DataView(this.#buffer.buffer).getUint32(length - 4));
    }
  }

  close(): void {
    for (const { fd } of this.sockets) closeFile(fd);
  }
}

const open = (family: Family, protocol: number): Open => ({
  fd: openSocket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW, protocol, { nonBlocking: true }),
  family,
  protocol,
});
