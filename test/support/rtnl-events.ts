import { onTestFinished } from "bun:test";
import { NETLINK_ROUTE, NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import type { RtnlEvent } from "../../src/kernel/rtnl.ts";
import { decodeEvent } from "../../src/kernel/rtnl-watch.ts";
import {
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
} from "../../src/wire/rtnetlink/message-types.ts";

/** A namespace's notifications, taken when the test says so: no poller, no waiting, nothing arrives in between. */
export class EventTap {
  readonly #socket: NetlinkSocket;

  constructor(netns: number) {
    this.#socket = NetlinkSocket.open(NETLINK_ROUTE, {
      name: "test notifications",
      netns,
      receiveBuffer: 32 * 1024 * 1024,
      groups: [
        RTNLGRP_LINK,
        RTNLGRP_NEIGH,
        RTNLGRP_IPV4_IFADDR,
        RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_IFADDR,
        RTNLGRP_IPV6_ROUTE,
      ],
    });
    onTestFinished(() => this.#socket.close());
  }

  /** All events until now. */
  take(): RtnlEvent[] {
    const events: RtnlEvent[] = [];
    for (;;) {
      const messages = this.#socket.receive();
      if (messages === undefined) return events;
      for (const message of messages) {
        const event = decodeEvent(message);
        if (event !== undefined) events.push(event);
      }
    }
  }
}
