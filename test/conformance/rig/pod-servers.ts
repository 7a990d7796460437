import { type Address, familyOf } from "../../../src/base/address.ts";
import { ByteReader, ByteWriter } from "../../../src/base/bytes.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { inNetns } from "../../../src/kernel/netns.ts";
import { decodeSockaddr, encodeSockaddr } from "../../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  listenSocket,
  MSG_DONTWAIT,
  openSocket,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  tryAccept,
  tryReceiveFrom,
  trySend,
} from "../../../src/kernel/socket.ts";
import { crc32c, ipProtocols } from "./raw-packet.ts";

/** A socket to be read, and how it is. */
export interface Served {
  readonly fd: number;
  /** Answers all that has arrived. */
  answer(): void;
}

/** Serves ports by TCP, UDP and SCTP in one network namespace, by sockets of this process. SCTP by hand: not every kernel has it. */
export class PodServers {
  readonly sockets: readonly Served[];
  readonly #ports: ReadonlySet<number>;
  readonly #buffer = new Uint8Array(2048);
  readonly #from = new Uint8Array(128);
  readonly #fromLength = new Uint32Array(1);

  constructor(netns: number, addresses: readonly Address[], ports: readonly number[]) {
    this.#ports = new Set(ports);
    this.sockets = inNetns(netns, () => addresses.flatMap((address) => this.#serve(address)));
  }

  #serve(address: Address): Served[] {
    const domain = familyOf(address) === 4 ? AF_INET : AF_INET6;
    const open = (type: number, protocol: number, port: number): number => {
      const fd = openSocket(domain, type, protocol, { nonBlocking: true });
      bindSocket(fd, encodeSockaddr(address, port));
      return fd;
    };
    const raw = open(SOCK_RAW, ipProtocols.SCTP, 0);
    return [
      { fd: raw, answer: () => this.#answerSctp(raw, domain === AF_INET) },
      ...[...this.#ports].flatMap((port) => {
        const [tcp, udp] = [open(SOCK_STREAM, 0, port), open(SOCK_DGRAM, 0, port)];
        listenSocket(tcp, 1024);
        return [
          { fd: tcp, answer: () => acceptAll(tcp) },
          { fd: udp, answer: () => this.#answerUdp(udp) },
        ];
      }),
    ];
  }

  #answerUdp(fd: number): void {
    for (let length = this.#receive(fd); length >= 0; length = this.#receive(fd)) {
      trySend(fd, this.#buffer.subarray(0, length), 0, this.#from.slice(0, this.#fromLength[0]));
    }
  }

  #answerSctp(fd: number, withHeader: boolean): void {
    for (let length = this.#receive(fd); length >= 0; length = this.#receive(fd)) {
      const start = withHeader ? ((this.#buffer[0] ?? 0) & 15) * 4 : 0;
      const answer = answerToInit(this.#buffer.subarray(start, length), this.#ports);
      const { address } = decodeSockaddr(this.#from);
      if (answer !== undefined) trySend(fd, answer, 0, encodeSockaddr(address, 0));
    }
  }

  #receive(fd: number): number {
    return tryReceiveFrom(fd, this.#buffer, MSG_DONTWAIT, this.#from, this.#fromLength);
  }

  close(): void {
    for (const { fd } of this.sockets) closeFile(fd);
  }
}

function acceptAll(fd: number): void {
  for (let accepted = tryAccept(fd); accepted >= 0; accepted = tryAccept(fd)) closeFile(accepted);
}

/** RFC 9260 section 3.3: chunk types. */
export const sctpChunk = { init: 1, initAck: 2, abort: 6 } as const;

/** INIT ACK where the port is served, else ABORT (RFC 9260 section 8.4); nothing to anything else. */
function answerToInit(packet: Uint8Array, ports: ReadonlySet<number>): Uint8Array | undefined {
  if (packet.length < 32 || packet[12] !== sctpChunk.init) return undefined;
  const reader = new ByteReader(packet);
  const [source, destination] = [reader.u16be(), reader.u16be()];
  reader.skip(12);
  const tag = reader.u32be();
  return sctpPacket(destination, source, tag, ports.has(destination) ? sctpChunk.initAck : sctpChunk.abort);
}

/** @param tag of the common header: 0 with INIT, else the initiate tag of the other end. */
export function sctpPacket(source: number, destination: number, tag: number, chunk: number): Uint8Array {
  const writer = new ByteWriter(64).u16be(source).u16be(destination).u32be(tag).u32be(0).u8(chunk).u8(0);
  if (chunk === sctpChunk.abort) writer.u16be(4);
  else {
    const cookie = chunk === sctpChunk.initAck ? 8 : 0;
    writer
      .u16be(20 + cookie)
      .u32be(1)
      .u32be(65_536)
      .u16be(1)
      .u16be(1)
      .u32be(1);
    // State cookie, parameter 7, which an INIT ACK must have.
    if (cookie > 0) writer.u16be(7).u16be(8).u32be(0);
  }
  const bytes = writer.bytes().slice();
  new DataView(bytes.buffer).setUint32(8, crc32c(bytes), true);
  return bytes;
}
