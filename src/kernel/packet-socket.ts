import { ptr } from "bun:ffi";
import type { BpfProgram } from "../wire/bpf.ts";
import { EAGAIN, errnoError } from "./errno.ts";
import { closeFile } from "./file.ts";
import { libc, trySystemCall } from "./libc.ts";
import { inNetns } from "./netns.ts";
import {
  bindSocket,
  getOptionBytes,
  MSG_DONTWAIT,
  MSG_TRUNC,
  openSocket,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
  tryReceiveFrom,
  trySetOption,
} from "./socket.ts";
import { attachFilter } from "./socket-filter.ts";

/** packet(7), include/uapi/linux/if_packet.h, if_ether.h, sockios.h. */
const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_OUTGOING = 4;
const ETH_P_ALL = 0x0003;
const SIOCGSTAMPNS = 0x8907;
/** struct sockaddr_ll. */
const addressSize = 20;

/** A packet as it passed a device. */
export interface SeenPacket {
  /** Nanoseconds since 1970, of this machine's clock. */
  readonly time: bigint;
  /** The device sends it; else it came in by the device. */
  readonly outgoing: boolean;
  /** Bytes on the wire, of which `bytes` may be the first only. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

export interface PacketSocketOptions {
  /** Interface index. */
  readonly device: number;
  readonly filter: BpfProgram;
  /** Bytes of each packet that are kept. */
  readonly snapLength: number;
  /** Bytes of packets that wait to be read; what comes beyond is counted as missed. */
  readonly buffer: number;
}

/**
 * Sees what passes a device, in both directions, before nf_tables on the way in and behind it on the way out. Nothing is
 * taken away, delayed or changed. Needs CAP_NET_RAW.
 */
export class PacketSocket {
  readonly #fd: number;
  readonly #buffer: Uint8Array;
  readonly #from = new Uint8Array(addressSize);
  readonly #fromLength = new Uint32Array(1);
  readonly #stamp = new BigInt64Array(2);
  #missed = 0;

  private constructor(fd: number, snapLength: number) {
    this.#fd = fd;
    this.#buffer = new Uint8Array(snapLength);
  }

  /** @param netns descriptor of the device's namespace; undefined: the calling thread's. @throws TwillError. */
  static open(netns: number | undefined, { device, filter, snapLength, buffer }: PacketSocketOptions): PacketSocket {
    // Protocol 0: nothing comes in before the filter is attached and the device chosen.
    const open = () => openSocket(AF_PACKET, SOCK_RAW, 0, { nonBlocking: true });
    const fd = netns === undefined ? open() : inNetns(netns, open);
    try {
      attachFilter(fd, filter);
      if (!trySetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, buffer)) trySetOption(fd, SOL_SOCKET, SO_RCVBUF, buffer);
      const socket = new PacketSocket(fd, snapLength);
      // The first question switches time stamps on (sock_enable_timestamp); there is none yet.
      socket.#readStamp();
      bindSocket(fd, sockaddr(device), { operation: "watch device", object: `index ${device}` });
      return socket;
    } catch (error) {
      closeFile(fd);
      throw error;
    }
  }

  get fd(): number {
    return this.#fd;
  }

  /** The next packet that waits; undefined when none does. @throws TwillError (ENETDOWN when the device went down meanwhile). */
  read(): SeenPacket | undefined {
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    const length = tryReceiveFrom(this.#fd, this.#buffer, flags, this.#from, this.#fromLength);
    if (length === -EAGAIN) return undefined;
    if (length < 0) throw errnoError(-length, { operation: "read packet" });
    return {
      time: this.#readStamp(),
      outgoing: this.#from[10] === PACKET_OUTGOING,
      length,
      bytes: this.#buffer.slice(0, Math.min(length, this.#buffer.length)),
    };
  }

  /** Packets that passed the filter and found no room, since the socket was opened. */
  get missed(): number {
    // struct tpacket_stats: packets, drops; reading resets both.
    const statistics = new Uint8Array(8);
    getOptionBytes(this.#fd, SOL_PACKET, PACKET_STATISTICS, statistics);
    this.#missed += new DataView(statistics.buffer).getUint32(4, true);
    return this.#missed;
  }

  close(): void {
    closeFile(this.#fd);
  }

  /** The time of the packet read last. 0 before the first. */
  #readStamp(): bigint {
    const result = trySystemCall("ioctl", () => libc.ioctl(this.#fd, SIOCGSTAMPNS, ptr(this.#stamp)));
    return result < 0 ? 0n : (this.#stamp[0] ?? 0n) * 1_000_000_000n + (this.#stamp[1] ?? 0n);
  }
}

function sockaddr(device: number): Uint8Array {
  const address = new Uint8Array(addressSize);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL, false);
  view.setInt32(4, device, true);
  return address;
}
