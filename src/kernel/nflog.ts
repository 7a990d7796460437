import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { LoggedPacket } from "../objects/nflog.ts";
import { bindLogGroup, type LogGroupSettings } from "../wire/nflog/config.ts";
import { decodeLoggedPacket, isLoggedPacket } from "../wire/nflog/packet.ts";
import { EPERM } from "./errno.ts";
import { type EventCounters, type EventPace, NetlinkEvents } from "./netlink-events.ts";
import { acknowledgementError, NETLINK_NETFILTER, NetlinkSocket } from "./netlink-socket.ts";
import type { Poller } from "./poller.ts";

export interface NflogOptions extends Pick<LogGroupSettings, "group" | "copyRange"> {
  readonly pace: EventPace;
  /** Bytes: a packet takes about its copy range and 300. */
  readonly receiveBuffer: number;
  /** Descriptor of another namespace. */
  readonly netns?: number;
  readonly clock?: Clock;
}

export interface NflogWatch {
  /** `lost`: gaps between the packets' numbers; those at the end of a flood show when the next packet comes. */
  readonly counters: EventCounters;
  close(): void;
}

/** A burst costs one wake-up for so many packets; a single packet waits for so long. */
const batching = { queueThreshold: 64, timeout: 10, bufferSize: 64 * 1024 };

/**
 * Calls `listener` with the packets that rules send to a log group (`log group N`). A payload is a view that lasts as long as the call.
 * @throws TwillError `conflict` when another program listens to the group, `unsupported` without the module nfnetlink_log.
 */
export function watchNflog(
  poller: Poller,
  { group, copyRange, netns, receiveBuffer, pace, clock }: NflogOptions,
  listener: (packet: LoggedPacket) => void,
): NflogWatch {
  const socket = NetlinkSocket.open(NETLINK_NETFILTER, {
    name: `nflog group ${group}`,
    receiveBuffer,
    ...(netns === undefined ? {} : { netns }),
  });
  try {
    bind(socket, { group, copyRange, ...batching });
  } catch (error) {
    socket.close();
    throw error;
  }
  let next: number | undefined;
  let lost = 0;
  const deliver = (packet: LoggedPacket) => {
    const { sequence } = packet;
    if (sequence !== undefined) {
      if (next !== undefined) lost += (sequence - next) >>> 0;
      next = (sequence + 1) >>> 0;
    }
    listener(packet);
  };
  const events = new NetlinkEvents(
    poller,
    socket,
    pace,
    ({ type, payload }) => {
      if (isLoggedPacket(type)) deliver(decodeLoggedPacket(payload));
    },
    clock,
  );
  return {
    get counters() {
      return { ...events.counters, lost };
    },
    close: () => events.close(),
  };
}

function bind(socket: NetlinkSocket, settings: LogGroupSettings): void {
  const [result] = socket.request([bindLogGroup(settings)]);
  if (result?.error === undefined) return;
  const what = { operation: "listen to denied packets", object: socket.name };
  const { errno } = result.error;
  if (errno === EPERM) {
    throw new TwillError("conflict", "another program listens to this log group, or CAP_NET_ADMIN is missing", {
      ...what,
      errno,
      remedy: "stop it: /proc/net/netfilter/nfnetlink_log has its netlink port, which /proc/net/netlink explains",
    });
  }
  throw acknowledgementError(result.error, { ...what, remedy: "modprobe nfnetlink_log" });
}
