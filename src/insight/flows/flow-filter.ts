import { tryAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { contains, hostPrefix, type Prefix, parsePrefix } from "../../base/prefix.ts";
import type { EndFilter, Flow, FlowEnd, FlowFilter } from "../../model/flow.ts";

/** A filter as a function, for it is asked of many flows. */
export function flowMatcher(filter: FlowFilter): (flow: Flow) => boolean {
  const { since = 0, until = Number.POSITIVE_INFINITY, verdict } = filter;
  const from = filter.from && endMatcher(filter.from);
  const to = filter.to && endMatcher(filter.to);
  const either = filter.with && endMatcher(filter.with);
  const among = filter.among?.map((network) => endMatcher({ kind: "network", network }));
  return (flow) =>
    flow.until >= since &&
    flow.since <= until &&
    (verdict === undefined || flow.verdict === verdict) &&
    (from === undefined || from(flow.source)) &&
    (to === undefined || to(flow.destination)) &&
    (either === undefined || either(flow.source) || either(flow.destination)) &&
    (among === undefined || among.some((matches) => matches(flow.source) || matches(flow.destination)));
}

function endMatcher(filter: EndFilter): (end: FlowEnd) => boolean {
  switch (filter.kind) {
    case "pod": {
      const matches = nameMatcher(filter.name ?? "*");
      return (end) =>
        end.kind === "pod" &&
        (filter.namespace === undefined || end.namespace === filter.namespace) &&
        matches(end.name);
    }
    case "node":
      return (end) => end.kind === "node" && end.name === filter.name;
    case "named": {
      const matches = nameMatcher(filter.name);
      return (end) => (end.kind === "pod" || end.kind === "node") && matches(end.name);
    }
    case "network": {
      const network = networkOf(filter.network);
      return (end) => end.kind !== "many" && contains(network, end.address);
    }
    case "outside":
      return (end) => end.kind === "address";
  }
}

const nameMatcher = (pattern: string): ((name: string) => boolean) =>
  pattern.endsWith("*") ? (name) => name.startsWith(pattern.slice(0, -1)) : (name) => name === pattern;

/** @throws TwillError `invalid`. */
function networkOf(text: string): Prefix {
  const address = tryAddress(text);
  return address === undefined ? parsePrefix(text) : hostPrefix(address);
}

/** RFC 1123 names as Kubernetes has them, and a star behind. */
const name = /^[a-z0-9]([-a-z0-9.]{0,252})?\*?$|^\*$/;
const namespaceName = /^[a-z0-9]([-a-z0-9]{0,62})?$/;

/**
 * What a person writes for one end: "shop/web-0", "shop/web-*", "shop/" (all pods of a namespace), "web-0" (a pod or node of that name),
 * "10.1.2.3", "10.0.0.0/8", "node/worker-1", "outside". @throws TwillError `invalid`.
 */
export function parseEndFilter(text: string): EndFilter {
  if (text === "outside") return { kind: "outside" };
  if (tryAddress(text) !== undefined) return { kind: "network", network: text };
  const slash = text.indexOf("/");
  // A mistyped address would be a name that nobody has.
  if (slash < 0 && name.test(text) && !/^[\d.]+$/.test(text)) return { kind: "named", name: text };
  const [first, second] = [text.slice(0, slash), text.slice(slash + 1)];
  if (tryAddress(first) !== undefined) return { kind: "network", network: parsePrefix(text) };
  if (first === "node" && name.test(second)) return { kind: "node", name: second };
  if (slash > 0 && namespaceName.test(first)) {
    if (second === "") return { kind: "pod", namespace: first };
    if (name.test(second)) return { kind: "pod", namespace: first, name: second };
  }
  throw new TwillError("invalid", `"${text.slice(0, 80)}" is neither a pod nor a node nor an address`, {
    operation: "read filter",
    remedy: "write NAMESPACE/POD, NAMESPACE/, POD, POD*, node/NODE, an address, a network or outside",
  });
}

const mostNetworks = 64;

/** A filter as it came from another process. @throws TwillError `invalid`. */
export function readFlowFilter(value: unknown): FlowFilter {
  const { since, until, verdict, from, to, with: either, among } = fieldsOf(value);
  if (verdict !== undefined && verdict !== "allow" && verdict !== "deny") throw wrong("verdict");
  return {
    ...(since === undefined ? {} : { since: time(since) }),
    ...(until === undefined ? {} : { until: time(until) }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(from === undefined ? {} : { from: readEndFilter(from) }),
    ...(to === undefined ? {} : { to: readEndFilter(to) }),
    ...(either === undefined ? {} : { with: readEndFilter(either) }),
    ...(among === undefined ? {} : { among: readNetworks(among) }),
  };
}

function readNetworks(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length > mostNetworks) throw wrong("networks");
  return value.map((network) => {
    if (typeof network !== "string") throw wrong("networks");
    networkOf(network);
    return network;
  });
}

function readEndFilter(value: unknown): EndFilter {
  const { kind, namespace, name: given, network } = fieldsOf(value);
  const named = (pattern: RegExp, part: unknown): string => {
    if (typeof part !== "string" || !pattern.test(part)) throw wrong("name");
    return part;
  };
  switch (kind) {
    case "pod":
      return {
        kind,
        ...(namespace === undefined ? {} : { namespace: named(namespaceName, namespace) }),
        ...(given === undefined ? {} : { name: named(name, given) }),
      };
    case "node":
    case "named":
      return { kind, name: named(name, given) };
    case "network":
      if (typeof network !== "string") throw wrong("network");
      networkOf(network);
      return { kind, network };
    case "outside":
      return { kind };
    default:
      throw wrong("end");
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("form");
  return value as Readonly<Record<string, unknown>>;
}

function time(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw wrong("time");
  return value;
}

const wrong = (what: string): TwillError =>
  new TwillError("invalid", `the ${what} of a filter of flows is not what it should be`, { operation: "read filter" });
