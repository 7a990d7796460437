import type { Clock } from "../base/clock.ts";
import { describeError, TwillError } from "../base/errors.ts";
import { closeFile } from "../kernel/file.ts";
import { openNetns } from "../kernel/netns.ts";
import { PacketSocket } from "../kernel/packet-socket.ts";
import { openRtnl } from "../kernel/rtnl-socket.ts";
import type { BpfProgram } from "../wire/bpf.ts";

/** A device to watch. */
export interface WatchPlace {
  /** Path of the pod's network namespace; absent: the node's. */
  readonly netns?: string;
  readonly device: string;
}

export interface WatchLimits {
  readonly milliseconds: number;
  /** Of all packets together, as kept. */
  readonly bytes: number;
  /** Of each packet. */
  readonly snapLength: number;
}

/** A packet at one of the places. Travels between agents as JSON. */
export interface WatchedPacket {
  /** Index of the place. */
  readonly place: number;
  /** Nanoseconds since 1970, this node's clock, decimal. */
  readonly time: string;
  readonly outgoing: boolean;
  readonly length: number;
  /** Base64. */
  readonly bytes: string;
}

export interface WatchResult {
  /** In order of time. */
  readonly packets: readonly WatchedPacket[];
  /** Packets that came faster than they could be kept. */
  readonly missed: number;
  /** Why it ended before it was stopped. */
  readonly ended?: "time" | "size";
  /** Places that could not be watched, or not to the end. */
  readonly failures: readonly { readonly place: number; readonly reason: string }[];
}

/** Bytes that wait in the kernel for a place. */
const socketBuffer = 4 << 20;
const drainEveryMs = 20;

/** Watches devices until it is stopped or a limit is reached; then it lets go of them and keeps what it saw. */
export class Watch {
  readonly #sockets: (PacketSocket | undefined)[];
  readonly #packets: WatchedPacket[] = [];
  readonly #failures: { place: number; reason: string }[] = [];
  readonly #limits: WatchLimits;
  readonly #clock: Clock;
  readonly #deadline: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #bytes = 0;
  #missed = 0;
  #ended: WatchResult["ended"];

  /** @param filter one for each place. What cannot be watched is told in the result. */
  constructor(places: readonly WatchPlace[], filter: BpfProgram, limits: WatchLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#deadline = clock.monotonic() + limits.milliseconds;
    this.#sockets = places.map((place, index) => {
      try {
        return open(place, filter, limits.snapLength);
      } catch (error) {
        this.#failures.push({ place: index, reason: describeError(error) });
        return undefined;
      }
    });
    this.#timer = setInterval(() => this.#drain(), drainEveryMs);
  }

  /** Ends it, if it has not ended. May be asked again. */
  stop(): WatchResult {
    this.#drain();
    this.#close();
    const packets = this.#packets.sort((a, b) => (BigInt(a.time) < BigInt(b.time) ? -1 : a.time === b.time ? 0 : 1));
    const ended = this.#ended === undefined ? {} : { ended: this.#ended };
    return { packets, missed: this.#missed, failures: this.#failures, ...ended };
  }

  #drain(): void {
    for (const [place, socket] of this.#sockets.entries()) {
      if (socket !== undefined && this.#ended === undefined) this.#drainPlace(place, socket);
    }
    if (this.#ended === undefined && this.#clock.monotonic() >= this.#deadline) this.#ended = "time";
    if (this.#ended !== undefined) this.#close();
  }

  #drainPlace(place: number, socket: PacketSocket): void {
    try {
      for (;;) {
        const packet = socket.read();
        if (packet === undefined) return;
        if (this.#bytes + packet.bytes.length > this.#limits.bytes) {
          this.#ended = "size";
          return;
        }
        this.#bytes += packet.bytes.length;
        const { time, outgoing, length, bytes } = packet;
        this.#packets.push({ place, time: String(time), outgoing, length, bytes: bytes.toBase64() });
      }
    } catch (error) {
      this.#failures.push({ place, reason: describeError(error) });
      this.#release(place);
    }
  }

  #close(): void {
    clearInterval(this.#timer);
    for (const place of this.#sockets.keys()) this.#release(place);
  }

  #release(place: number): void {
    const socket = this.#sockets[place];
    if (socket === undefined) return;
    this.#missed += socket.missed;
    socket.close();
    this.#sockets[place] = undefined;
  }
}

function open({ netns, device }: WatchPlace, filter: BpfProgram, snapLength: number): PacketSocket {
  const fd = netns === undefined ? undefined : openNetns(netns);
  try {
    const rtnl = openRtnl(fd === undefined ? {} : { netns: fd });
    try {
      const link = rtnl.link(device);
      if (link === undefined)
        throw new TwillError("not-found", "there is no such device", { operation: "watch", object: device });
      return PacketSocket.open(fd, { device: link.index, filter, snapLength, buffer: socketBuffer });
    } finally {
      rtnl.close();
    }
  } finally {
    if (fd !== undefined) closeFile(fd);
  }
}
