import { type Address, familyOf } from "../base/address.ts";
import { contains, lengthOf, prefixFamily } from "../base/prefix.ts";
import type { Route, Rule } from "../objects/route.ts";
import { type KernelView, linkNamed, linkOf } from "./kernel-view.ts";

export interface RouteQuery {
  readonly destination: Address;
  readonly source?: Address;
  /** Name of the device by which the packet came; absent: it is the node's own. */
  readonly inputDevice?: string;
  readonly mark?: number;
}

/** How the kernel decides, with the rule that led to the table. */
export type RouteDecision =
  | { readonly found: Route; readonly rule: Rule }
  /** A rule or a route says no; or nothing says anything. */
  | { readonly found: undefined; readonly rule?: Rule; readonly route?: Route; readonly reason: string };

/**
 * The kernel's route lookup, from dumps alone (Documentation/networking/policy-routing: rules by priority, in each table the
 * longest prefix, then the lowest metric). A test holds it to the kernel's own answers (RTM_GETROUTE).
 */
export function lookupRoute(view: KernelView, query: RouteQuery): RouteDecision {
  const family = familyOf(query.destination);
  const rules = view.rules.filter((rule) => rule.family === family).sort((a, b) => a.priority - b.priority);
  for (const rule of rules) {
    if (!applies(rule, query)) continue;
    if (rule.action === "other") continue;
    if (rule.action !== "lookup")
      return { found: undefined, rule, reason: `rule ${rule.priority} says ${rule.action}` };
    const route = bestRoute(view, rule.table, query.destination);
    if (route === undefined || route.type === "throw") continue;
    if (route.type === "blackhole" || route.type === "unreachable" || route.type === "prohibit") {
      return { found: undefined, rule, route, reason: `the route ${route.destination} is of type ${route.type}` };
    }
    return { found: route, rule };
  }
  return { found: undefined, reason: `no route to ${query.destination}` };
}

function applies(rule: Rule, { destination, source, inputDevice, mark = 0 }: RouteQuery): boolean {
  const matches =
    (rule.destination === undefined || contains(rule.destination, destination)) &&
    // A packet of the node's own whose source is still open matches no rule about a source but 0/0.
    (rule.source === undefined ||
      lengthOf(rule.source) === 0 ||
      (source !== undefined && contains(rule.source, source))) &&
    (rule.inputDevice === undefined || rule.inputDevice === (inputDevice ?? "lo")) &&
    rule.outputDevice === undefined &&
    (rule.mark === undefined || (mark & (rule.mask ?? 0xffff_ffff)) >>> 0 === rule.mark >>> 0);
  return rule.invert === true ? !matches : matches;
}

/** The route that the kernel takes in one table. */
function bestRoute(view: KernelView, table: number, destination: Address): Route | undefined {
  let best: Route | undefined;
  for (const route of view.routes) {
    if (route.table !== table || prefixFamily(route.destination) !== familyOf(destination)) continue;
    if (!contains(route.destination, destination) || route.dead === true || !isUsable(view, route)) continue;
    if (best === undefined || isBetter(route, best)) best = route;
  }
  return best;
}

/** An address stays the node's own while its device is down; the way to others is gone with it. */
function isUsable(view: KernelView, route: Route): boolean {
  return route.type === "local" || linkOf(view, route.device)?.up !== false;
}

function isBetter(a: Route, b: Route): boolean {
  const lengths = lengthOf(a.destination) - lengthOf(b.destination);
  return lengths > 0 || (lengths === 0 && a.metric < b.metric);
}

/** In words: "10.244.3.0/24 via 10.244.3.0 dev flannel.1". */
export function describeRoute(view: KernelView, route: Route): string {
  const via = (gateway: Address | undefined, device: number | undefined) =>
    [
      gateway === undefined ? "" : ` via ${gateway}`,
      device === undefined ? "" : ` dev ${linkOf(view, device)?.name ?? device}`,
    ].join("");
  const hops = route.hops?.map((hop) => via(hop.gateway, hop.device)).join(" or");
  const type = route.type === "unicast" ? "" : `${route.type} `;
  const table = route.table === 254 || route.table === 255 ? "" : ` table ${route.table}`;
  return `${type}${route.destination}${hops ?? via(route.gateway, route.device)}${table}`;
}

/**
 * Whether the kernel's reverse path check (rp_filter 1, RFC 3704 section 2.2) drops a packet of this source that came by
 * this device: the way back must lead through the same one. IPv6 has no such check.
 */
export function failsReversePath(view: KernelView, source: Address, device: string): boolean {
  if (familyOf(source) !== 4) return false;
  const setting = (name: string) => Number(view.settings.get(`ipv4/conf/${name}/rp_filter`) ?? "0");
  const mode = Math.max(setting("all"), setting(device));
  if (mode === 0) return false;
  const back = lookupRoute(view, { destination: source });
  if (back.found === undefined) return true;
  if (mode === 2) return false;
  const index = linkNamed(view, device)?.index;
  return back.found.device !== index && back.found.hops?.some((hop) => hop.device === index) !== true;
}
