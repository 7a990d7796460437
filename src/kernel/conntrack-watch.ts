import type { Clock } from "../base/clock.ts";
import type { ConnectionEvent } from "../objects/conntrack.ts";
import { connectionIdOf, connectionMessage, decodeConnection } from "../wire/conntrack/connection.ts";
import { labelledConnections } from "../wire/conntrack/event-filter.ts";
import { type EventCounters, type EventPace, NetlinkEvents } from "./netlink-events.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./netlink-socket.ts";
import type { Poller } from "./poller.ts";
import { attachFilter } from "./socket-filter.ts";

/** enum nfnetlink_groups, linux/netfilter/nfnetlink.h. */
const groupNumbers = { new: 1, update: 2, destroy: 3 } as const;

export interface ConntrackWatchOptions {
  readonly events: readonly ConnectionEvent["type"][];
  /** Of "new" and "update" only connections with a label, chosen in the kernel. */
  readonly labelled?: boolean;
  /** Whether the end of the connection with this id is wanted. Others are not decoded. Absent: all are. */
  readonly wantsEnd?: (id: number) => boolean;
  readonly pace: EventPace;
  /** Bytes: an event takes about 1 KiB of it. */
  readonly receiveBuffer: number;
  /** Descriptor of another namespace. */
  readonly netns?: number;
  readonly clock?: Clock;
}

export interface ConntrackWatch {
  readonly counters: EventCounters;
  close(): void;
}

/**
 * Calls `listener` with what begins, changes or ends in connection tracking. An end tells no label, and counters only with
 * net.netfilter.nf_conntrack_acct. With net.netfilter.nf_conntrack_events = 2 (the default since Linux 5.19) only connections that
 * began while somebody listened are told of. @throws TwillError.
 */
export function watchConntrack(
  poller: Poller,
  options: ConntrackWatchOptions,
  listener: (event: ConnectionEvent) => void,
): ConntrackWatch {
  const socket = NetlinkSocket.open(NETLINK_NETFILTER, {
    name: "conntrack events",
    receiveBuffer: options.receiveBuffer,
    ...(options.netns === undefined ? {} : { netns: options.netns }),
  });
  try {
    // Before the groups: nothing that the filter refuses gets in.
    if (options.labelled === true) attachFilter(socket.fd, labelledConnections);
    for (const type of options.events) socket.join(groupNumbers[type]);
  } catch (error) {
    socket.close();
    throw error;
  }
  return new NetlinkEvents(
    poller,
    socket,
    options.pace,
    ({ type, flags, payload }) => {
      const event = connectionMessage(type, flags);
      if (event === undefined) return;
      if (event === "destroy" && options.wantsEnd !== undefined) {
        const id = connectionIdOf(payload);
        if (id === undefined || !options.wantsEnd(id)) return;
      }
      listener({ type: event, connection: decodeConnection(payload) });
    },
    options.clock,
  );
}
