import { TwillError } from "../base/errors.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import { decodeAddress } from "../wire/rtnetlink/address.ts";
import { decodeLink, isLinkMessage } from "../wire/rtnetlink/link.ts";
import {
  AF_INET,
  AF_INET6,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNETCONF,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_NETCONF,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
} from "../wire/rtnetlink/message-types.ts";
import { decodeFdbEntry, decodeNeighbour, isFdbMessage } from "../wire/rtnetlink/neighbour.ts";
import { decodeNetconf } from "../wire/rtnetlink/netconf.ts";
import { decodeRoute, isTableRoute } from "../wire/rtnetlink/route.ts";
import { decodeRule } from "../wire/rtnetlink/rule.ts";
import { ENOBUFS } from "./errno.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "./netlink-socket.ts";
import { POLLIN } from "./poll.ts";
import type { Poller } from "./poller.ts";
import type { RtnlEvent, RtnlGroup } from "./rtnl.ts";

const groupNumbers: Readonly<Record<RtnlGroup, readonly number[]>> = {
  link: [RTNLGRP_LINK],
  address: [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
  route: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
  rule: [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE],
  // Forwarding entries too.
  neighbour: [RTNLGRP_NEIGH],
  setting: [RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF],
};

/** Datagrams taken in one turn of the event loop, so that a storm of changes leaves room for other work. */
const datagramsPerTurn = 256;

export interface RtnlWatchOptions {
  readonly groups: readonly RtnlGroup[];
  /** Descriptor of another namespace. */
  readonly netns?: number;
  /** Bytes; larger than for requests, because nobody waits for what comes here. */
  readonly receiveBuffer?: number;
}

export interface RtnlWatch {
  close(): void;
}

/**
 * Calls `listener` with every change of the namespace, also our own. What changed between this call's return and an earlier
 * dump is not repeated: watch first, then dump. After `overrun` everything must be read again.
 */
export function watchRtnl(poller: Poller, options: RtnlWatchOptions, listener: (event: RtnlEvent) => void): RtnlWatch {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, {
    name: "rtnetlink notifications",
    groups: options.groups.flatMap((group) => groupNumbers[group]),
    receiveBuffer: options.receiveBuffer ?? 8 * 1024 * 1024,
    ...(options.netns === undefined ? {} : { netns: options.netns }),
  });
  let open = true;
  const watch = poller.watch(socket.fd, POLLIN, () => {
    for (let count = 0; open && count < datagramsPerTurn; count++) {
      const messages = receive(socket);
      if (messages === undefined) return;
      if (messages === "overrun") listener({ type: "overrun" });
      else for (const message of messages) deliver(message, listener);
    }
  });
  return {
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      socket.close();
    },
  };
}

/** A datagram that cannot be understood counts as lost: reading everything again repairs both. */
function receive(socket: NetlinkSocket): NetlinkMessage[] | "overrun" | undefined {
  try {
    return socket.receive();
  } catch (error) {
    if (error instanceof TwillError && (error.errno === ENOBUFS || error.code === "unavailable")) return "overrun";
    if (error instanceof TwillError && error.code === "corrupt") return "overrun";
    throw error;
  }
}

function deliver(message: NetlinkMessage, listener: (event: RtnlEvent) => void): void {
  let event: RtnlEvent | undefined;
  try {
    event = decodeEvent(message);
  } catch (error) {
    if (!(error instanceof TwillError)) throw error;
    event = { type: "overrun" };
  }
  if (event !== undefined) listener(event);
}

/**
 * undefined for what is no event of ours: other families (MPLS, IPv4 multicast routing), bridge ports' states, cached routes.
 * @throws TwillError `corrupt`.
 */
export function decodeEvent({ type, payload }: Pick<NetlinkMessage, "type" | "payload">): RtnlEvent | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (!isLinkMessage(payload)) return undefined;
      return { type: "link", change: type === RTM_NEWLINK ? "new" : "delete", link: decodeLink(payload) };
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { type: "address", change: type === RTM_NEWADDR ? "new" : "delete", address: decodeAddress(payload) };
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (!isInternet(payload) || !isTableRoute(payload)) return undefined;
      return { type: "route", change: type === RTM_NEWROUTE ? "new" : "delete", route: decodeRoute(payload) };
    case RTM_NEWRULE:
    case RTM_DELRULE:
      if (!isInternet(payload)) return undefined;
      return { type: "rule", change: type === RTM_NEWRULE ? "new" : "delete", rule: decodeRule(payload) };
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const change = type === RTM_NEWNEIGH ? "new" : "delete";
      if (isFdbMessage(payload)) return { type: "fdb", change, entry: decodeFdbEntry(payload) };
      return isInternet(payload) ? { type: "neighbour", change, neighbour: decodeNeighbour(payload) } : undefined;
    }
    case RTM_NEWNETCONF:
      return isInternet(payload) ? { type: "setting", change: "new", device: decodeNetconf(payload) } : undefined;
    default:
      return undefined;
  }
}

const isInternet = (payload: Uint8Array): boolean => payload[0] === AF_INET || payload[0] === AF_INET6;
