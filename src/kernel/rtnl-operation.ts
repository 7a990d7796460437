import { isEverything } from "../base/prefix.ts";
import type { LinkSpec } from "../objects/link.ts";
import type { Route, Rule } from "../objects/route.ts";
import {
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "../wire/netlink/message.ts";
import { encodeAddress } from "../wire/rtnetlink/address.ts";
import {
  encodeBridgePort,
  encodeLinkChange,
  encodeLinkCompletion,
  encodeLinkIndex,
  encodeLinkSpec,
} from "../wire/rtnetlink/link.ts";
import {
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
} from "../wire/rtnetlink/message-types.ts";
import { encodeFdbEntry, encodeNeighbour } from "../wire/rtnetlink/neighbour.ts";
import { encodeRoute } from "../wire/rtnetlink/route.ts";
import { encodeRule } from "../wire/rtnetlink/rule.ts";
import type { LinkChange, RtnlOperation } from "./rtnl.ts";

const add = NLM_F_CREATE | NLM_F_EXCL;
const replace = NLM_F_CREATE | NLM_F_REPLACE;
const append = NLM_F_CREATE | NLM_F_APPEND;
const plain = 0;

/**
 * The messages of an operation, in order: one, or two where the kernel takes the change in two steps only. A new link's
 * completions are not among them: they go by name, and must never reach a link that was there before and made ours fail.
 * Acknowledgements are for the sender to ask for; refusals come without.
 */
export function encodeOperation(operation: RtnlOperation): NetlinkRequest[] {
  switch (operation.op) {
    case "link.add":
      return [{ type: RTM_NEWLINK, flags: add, payload: encodeLinkSpec(operation.spec) }];
    case "link.set":
      return encodeChange(operation.index, operation.change);
    case "link.delete":
      return [{ type: RTM_DELLINK, flags: plain, payload: encodeLinkIndex(operation.index) }];
    case "address.add":
    case "address.replace":
      return [
        {
          type: RTM_NEWADDR,
          flags: operation.op === "address.add" ? add : replace,
          payload: encodeAddress(operation.address),
        },
      ];
    case "address.delete":
      return [{ type: RTM_DELADDR, flags: plain, payload: encodeAddress(operation.address) }];
    case "route.add":
    case "route.replace":
      return [
        {
          type: RTM_NEWROUTE,
          flags: operation.op === "route.add" ? add : replace,
          payload: encodeRoute(operation.route),
        },
      ];
    case "route.delete":
      return [{ type: RTM_DELROUTE, flags: plain, payload: encodeRoute(operation.route) }];
    case "rule.add":
      return [{ type: RTM_NEWRULE, flags: add, payload: encodeRule(operation.rule) }];
    case "rule.delete":
      return [{ type: RTM_DELRULE, flags: plain, payload: encodeRule(operation.rule) }];
    case "neighbour.add":
    case "neighbour.replace":
      return [
        {
          type: RTM_NEWNEIGH,
          flags: operation.op === "neighbour.add" ? add : replace,
          payload: encodeNeighbour(operation.neighbour),
        },
      ];
    case "neighbour.delete":
      return [{ type: RTM_DELNEIGH, flags: plain, payload: encodeNeighbour(operation.neighbour) }];
    case "fdb.add":
    case "fdb.replace":
    case "fdb.append": {
      const flags = { "fdb.add": add, "fdb.replace": replace, "fdb.append": append }[operation.op];
      return [{ type: RTM_NEWNEIGH, flags, payload: encodeFdbEntry(operation.entry) }];
    }
    case "fdb.delete":
      return [{ type: RTM_DELNEIGH, flags: plain, payload: encodeFdbEntry(operation.entry) }];
  }
}

export interface LinkCompletion {
  /** Where it must be sent; undefined is the socket's own namespace. */
  readonly netns: number | undefined;
  readonly request: NetlinkRequest;
}

/** What must follow the creation of a link (see encodeLinkCompletion), for the link and a veth's peer. */
export function completions(spec: LinkSpec): LinkCompletion[] {
  const peer = spec.kind.type === "veth" ? spec.peer : undefined;
  const found: LinkCompletion[] = [];
  const complete = (link: Omit<LinkSpec, "kind">, role: "link" | "peer") => {
    const payload = encodeLinkCompletion(link, role);
    if (payload !== undefined)
      found.push({ netns: link.netns, request: { type: RTM_NEWLINK, flags: NLM_F_ACK, payload } });
  };
  complete(spec, "link");
  if (peer !== undefined) complete(peer, "peer");
  return found;
}

/** The kernel handles port attributes before it changes the master, so a link joins its bridge in a message of its own. */
function encodeChange(index: number, change: LinkChange): NetlinkRequest[] {
  const { hairpin, ...own } = change;
  const requests: NetlinkRequest[] = [];
  if (Object.keys(own).length > 0 || hairpin === undefined) {
    requests.push({ type: RTM_NEWLINK, flags: plain, payload: encodeLinkChange(index, own) });
  }
  if (hairpin !== undefined) {
    requests.push({ type: RTM_NEWLINK, flags: plain, payload: encodeBridgePort(index, { hairpin }) });
  }
  return requests;
}

const verbs: Readonly<Record<string, string>> = {
  add: "add",
  append: "append",
  delete: "delete",
  replace: "replace",
  set: "change",
};

/** What an operation does, to what, in words for errors and logs. */
export function describeOperation(operation: RtnlOperation): { readonly operation: string; readonly object: string } {
  const [kind = "", verb = ""] = operation.op.split(".");
  const words = `${verbs[verb] ?? verb} ${kind === "fdb" ? "forwarding entry" : kind}`;
  return { operation: words, object: objectOf(operation) };
}

function objectOf(operation: RtnlOperation): string {
  switch (operation.op) {
    case "link.add":
      return `${operation.spec.name} (${operation.spec.kind.type})`;
    case "link.set":
      return `${operation.index} ${JSON.stringify(operation.change)}`;
    case "link.delete":
      return String(operation.index);
    case "address.add":
    case "address.replace":
    case "address.delete":
      return `${operation.address.address}/${operation.address.length} dev ${operation.address.device}`;
    case "route.add":
    case "route.replace":
    case "route.delete":
      return describeRoute(operation.route);
    case "rule.add":
    case "rule.delete":
      return describeRule(operation.rule);
    case "neighbour.add":
    case "neighbour.replace":
    case "neighbour.delete": {
      const { address, mac, device } = operation.neighbour;
      return `${address} lladdr ${mac ?? "none"} dev ${device}`;
    }
    case "fdb.add":
    case "fdb.replace":
    case "fdb.append":
    case "fdb.delete": {
      const { mac, remote, device } = operation.entry;
      return `${mac}${remote === undefined ? "" : ` dst ${remote}`} dev ${device}`;
    }
  }
}

/** As `ip route` writes it, devices by index. */
function describeRoute(route: Route): string {
  const parts: string[] = route.type === "unicast" ? [] : [route.type];
  parts.push(isEverything(route.destination) ? `default (${route.destination})` : route.destination);
  if (route.gateway !== undefined) parts.push(`via ${route.gateway}`);
  if (route.device !== undefined) parts.push(`dev ${route.device}`);
  for (const hop of route.hops ?? []) parts.push(`nexthop ${hop.gateway ?? "direct"} dev ${hop.device}`);
  parts.push(`table ${route.table}`);
  if (route.metric !== 0) parts.push(`metric ${route.metric}`);
  if (route.source !== undefined) parts.push(`src ${route.source}`);
  if (route.onlink === true) parts.push("onlink");
  return parts.join(" ");
}

function describeRule(rule: Rule): string {
  return `${rule.priority}: from ${rule.source ?? "all"} to ${rule.destination ?? "all"} ${rule.action} ${rule.table}`;
}
