import type { Address, Family } from "../base/address.ts";
import { isCode, TwillError } from "../base/errors.ts";
import type { Link } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import type { DeviceAddress, Route, Rule } from "../objects/route.ts";
import type { Acknowledgement } from "../wire/netlink/acknowledgement.ts";
import { type NetlinkRequest, NLM_F_ACK } from "../wire/netlink/message.ts";
import { decodeAddress, encodeAddressQuery } from "../wire/rtnetlink/address.ts";
import { familyNumber } from "../wire/rtnetlink/family.ts";
import { decodeLink, encodeLinkQuery, isLinkMessage } from "../wire/rtnetlink/link.ts";
import {
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETNSID,
  RTM_GETROUTE,
  RTM_GETRULE,
} from "../wire/rtnetlink/message-types.ts";
import {
  decodeFdbEntry,
  decodeNeighbour,
  encodeFdbQuery,
  encodeNeighbourQuery,
  isFdbMessage,
} from "../wire/rtnetlink/neighbour.ts";
import { decodeNetnsId, encodeNetnsId } from "../wire/rtnetlink/netns-id.ts";
import { decodeRoute, encodeRouteLookup, encodeRouteQuery, isTableRoute } from "../wire/rtnetlink/route.ts";
import { decodeRule, encodeRuleQuery } from "../wire/rtnetlink/rule.ts";
import { ENODEV, ENOENT } from "./errno.ts";
import { acknowledgementError, NETLINK_ROUTE, NetlinkSocket } from "./netlink-socket.ts";
import type { RouteFilter, Rtnl, RtnlCounters, RtnlOperation } from "./rtnl.ts";
import { completions, describeOperation, encodeOperation } from "./rtnl-operation.ts";

/** Requests in one send. Each refusal takes up to 1 KiB of the receive buffer, which an unprivileged process may find at 208 KiB. */
const requestsPerSend = 128;

/**
 * rtnetlink of the calling thread's namespace, or of the one that `netns` (descriptor) shows; the socket stays there.
 * @throws TwillError.
 */
export function openRtnl(options: { readonly netns?: number } = {}): Rtnl {
  return new RtnlSocket(NetlinkSocket.open(NETLINK_ROUTE, { ...options, name: "rtnetlink" }));
}

class RtnlSocket implements Rtnl {
  readonly #socket: NetlinkSocket;
  readonly #writes: Record<string, number> = {};
  #failures = 0;
  #dumps = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  get counters(): RtnlCounters {
    return {
      writes: { ...this.#writes },
      failures: this.#failures,
      dumps: this.#dumps,
      retriedDumps: this.#socket.interruptedDumps,
    };
  }

  do(operation: RtnlOperation): void {
    const error = this.apply([operation])[0];
    if (error !== undefined) throw error;
  }

  apply(operations: readonly RtnlOperation[]): (TwillError | undefined)[] {
    const results: (TwillError | undefined)[] = [];
    let chunk: { readonly operation: RtnlOperation; readonly requests: readonly NetlinkRequest[] }[] = [];
    let size = 0;
    const flush = () => {
      if (chunk.length > 0) results.push(...this.#send(chunk));
      chunk = [];
      size = 0;
    };
    for (const operation of operations) {
      const requests = encodeOperation(operation);
      if (size + requests.length > requestsPerSend) flush();
      chunk.push({ operation, requests });
      size += requests.length;
    }
    flush();
    return results;
  }

  #send(
    chunk: readonly { readonly operation: RtnlOperation; readonly requests: readonly NetlinkRequest[] }[],
  ): (TwillError | undefined)[] {
    const all = chunk.flatMap(({ requests }) => requests);
    // Refusals come without being asked for (netlink_rcv_skb), and in order: behind the last one's answer none is missing.
    const last = all.at(-1);
    if (last !== undefined) all[all.length - 1] = { ...last, flags: last.flags | NLM_F_ACK };
    const answers = this.#socket.request(all);
    let next = 0;
    return chunk.map(({ operation, requests }) => {
      this.#writes[operation.op] = (this.#writes[operation.op] ?? 0) + 1;
      let refused: Acknowledgement | undefined;
      for (const _ of requests) refused ??= answers[next++]?.error;
      const error =
        refused === undefined
          ? complete(operation, this.#socket)
          : acknowledgementError(refused, describeOperation(operation));
      if (error !== undefined) this.#failures++;
      return error;
    });
  }

  #dump(type: number, payload: Uint8Array): Uint8Array[] {
    this.#dumps++;
    return this.#socket.dump({ type, flags: 0, payload });
  }

  /** One answer to a GET. @throws TwillError with the kernel's errno. */
  #get(type: number, payload: Uint8Array, operation: string, object: string): Uint8Array {
    // NLM_F_ACK: the end of the answer is told apart from its absence.
    const result = this.#socket.request([{ type, flags: NLM_F_ACK, payload }])[0];
    if (result?.error !== undefined) throw acknowledgementError(result.error, { operation, object });
    const reply = result?.replies[0];
    if (reply === undefined) throw new TwillError("kernel", "the kernel gave no answer", { operation, object });
    return reply.payload;
  }

  links(options: { readonly statistics?: boolean } = {}): Link[] {
    return this.#dump(RTM_GETLINK, encodeLinkQuery({}))
      .filter(isLinkMessage)
      .map((payload) => decodeLink(payload, options));
  }

  link(nameOrIndex: string | number): Link | undefined {
    const query = typeof nameOrIndex === "number" ? { index: nameOrIndex } : { name: nameOrIndex };
    try {
      return decodeLink(this.#get(RTM_GETLINK, encodeLinkQuery(query), "read link", String(nameOrIndex)));
    } catch (error) {
      if (isCode(error, "not-found") && error.errno === ENODEV) return undefined;
      throw error;
    }
  }

  addresses(filter: { readonly device?: number; readonly family?: Family } = {}): DeviceAddress[] {
    const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
    // Not filtered by the kernel: dumps of one device's addresses are not marked when they were interrupted (6.18).
    return families.flatMap((family) =>
      this.#ofFamily(family, this.#dump(RTM_GETADDR, encodeAddressQuery({ family })))
        .map(decodeAddress)
        .filter((address) => filter.device === undefined || address.device === filter.device),
    );
  }

  routes(filter: RouteFilter = {}): Route[] {
    const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
    return families.flatMap((family) =>
      this.#ofFamily(family, this.#filteredDump(RTM_GETROUTE, encodeRouteQuery({ ...filter, family }), filter))
        .filter(isTableRoute)
        .map(decodeRoute)
        .filter((route) => matches(route, filter)),
    );
  }

  /** With strict checking the kernel refuses to filter by what does not exist. For us that is an empty answer. */
  #filteredDump(type: number, payload: Uint8Array, filter: { readonly device?: number; readonly table?: number }) {
    try {
      return this.#dump(type, payload);
    } catch (error) {
      const missing = error instanceof TwillError ? error.errno : undefined;
      if (missing === ENODEV && filter.device !== undefined) return [];
      // A table that nobody has put a route into does not exist for the kernel.
      if (missing === ENOENT && filter.table !== undefined) return [];
      throw error;
    }
  }

  rules(family: Family): Rule[] {
    return this.#ofFamily(family, this.#dump(RTM_GETRULE, encodeRuleQuery(family))).map(decodeRule);
  }

  neighbours(
    filter: { readonly device?: number; readonly family?: Family; readonly proxy?: boolean } = {},
  ): Neighbour[] {
    const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
    return families.flatMap((family) =>
      this.#ofFamily(family, this.#filteredDump(RTM_GETNEIGH, encodeNeighbourQuery({ ...filter, family }), filter))
        .map(decodeNeighbour)
        .filter((neighbour) => filter.device === undefined || neighbour.device === filter.device),
    );
  }

  fdb(filter: { readonly device?: number } = {}): FdbEntry[] {
    return this.#filteredDump(RTM_GETNEIGH, encodeFdbQuery(filter), filter)
      .filter(isFdbMessage)
      .map(decodeFdbEntry)
      .filter((entry) => filter.device === undefined || entry.device === filter.device);
  }

  routeTo(
    destination: Address,
    options: { readonly source?: Address; readonly inputDevice?: number; readonly mark?: number } = {},
  ): Route {
    return decodeRoute(
      this.#get(RTM_GETROUTE, encodeRouteLookup(destination, options), "look up route", `to ${destination}`),
    );
  }

  netnsId(netns: number): number | undefined {
    return decodeNetnsId(this.#get(RTM_GETNSID, encodeNetnsId({ fd: netns }), "read namespace id", `fd ${netns}`));
  }

  /** A kernel without IPv6 answers a dump of it with what other families have (rtnl_dump_all). */
  #ofFamily(family: Family, payloads: Uint8Array[]): Uint8Array[] {
    const wanted = familyNumber(family);
    return payloads.filter((payload) => payload[0] === wanted);
  }

  close(): void {
    this.#socket.close();
  }
}

/** Completes a new link, or a veth's peer, in the namespace where it was made: by name, which only that namespace knows. */
function complete(operation: RtnlOperation, own: NetlinkSocket): TwillError | undefined {
  if (operation.op !== "link.add") return undefined;
  for (const { netns, request } of completions(operation.spec)) {
    const socket = netns === undefined ? own : NetlinkSocket.open(NETLINK_ROUTE, { netns, name: "rtnetlink" });
    try {
      const refused = socket.request([request])[0]?.error;
      if (refused !== undefined) return acknowledgementError(refused, describeOperation(operation));
    } finally {
      if (socket !== own) socket.close();
    }
  }
  return undefined;
}

const matches = (route: Route, filter: RouteFilter): boolean =>
  (filter.table === undefined || route.table === filter.table) &&
  (filter.protocol === undefined || route.protocol === filter.protocol) &&
  (filter.device === undefined ||
    route.device === filter.device ||
    route.hops?.some((hop) => hop.device === filter.device) === true);
