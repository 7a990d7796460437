import { hostPrefix, prefixFamily } from "../base/prefix.ts";
import { type DesiredRoute, defaultMetric, routeKey } from "../objects/desired.ts";
import { mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import type { EntryKind } from "./entry-kind.ts";

/** Routes of our protocol in the main table, over whatever device. */
export const routeKind: EntryKind<DesiredRoute, Route> = {
  name: "route",
  describe: (key, desired) =>
    `route ${key}${desired === undefined ? "" : ` via ${desired.gateway} dev ${desired.device}`}`,
  desiredKey: routeKey,
  sameDesired: (a, b) =>
    a.gateway === b.gateway && a.device === b.device && a.onlink === b.onlink && a.source === b.source,
  keyOf: (seen) => (seen.protocol === TWILL_ROUTE_PROTOCOL && seen.table === mainTable ? routeKey(seen) : undefined),
  merge: (_held, seen) => seen,
  // IPv6 reports the end of a route that a newer one has replaced already.
  without: (held, gone) => (held.device === gone.device && held.gateway === gone.gateway ? undefined : held),
  equal: (desired, held) =>
    held.type === "unicast" &&
    held.gateway === desired.gateway &&
    (held.onlink ?? false) === desired.onlink &&
    held.source === desired.source &&
    held.mtu === undefined &&
    held.hops === undefined,
  removable: () => true,
  written: wantedRoute,
  // Exclusive: a route of somebody else to the same destination is never overwritten unasked.
  add: (desired, device) => ({ op: "route.add", route: wantedRoute(desired, device) }),
  change(desired, device, held) {
    const replace = { op: "route.replace", route: wantedRoute(desired, device) } as const;
    if (held?.device === device || !desired.onlink || prefixFamily(desired.destination) === 4) return [replace];
    // IPv6 refuses an onlink gateway that it would find over another device (ip6_route_check_nh_onlink), and finds ours,
    // the subnet's first address, over the very route that is to be replaced. A host route for the gateway leads it
    // right meanwhile. After a crash in between it is a stray of our protocol.
    const lead = leadTo(desired, device);
    return [{ op: "route.replace", route: lead }, replace, { op: "route.delete", route: lead }];
  },
  remove: (held) => [{ op: "route.delete", route: held }],
};

const metricOf = ({ destination, metric }: DesiredRoute): number => metric ?? defaultMetric(prefixFamily(destination));

function leadTo(desired: DesiredRoute, device: number): Route {
  return {
    destination: hostPrefix(desired.gateway),
    type: "unicast",
    table: mainTable,
    protocol: TWILL_ROUTE_PROTOCOL,
    scope: "universe",
    metric: metricOf(desired),
    device,
  };
}

function wantedRoute(desired: DesiredRoute, device: number): Route {
  const { destination, gateway, onlink, source } = desired;
  return {
    destination,
    type: "unicast",
    table: mainTable,
    protocol: TWILL_ROUTE_PROTOCOL,
    scope: "universe",
    metric: metricOf(desired),
    gateway,
    device,
    ...(onlink ? { onlink } : {}),
    ...(source === undefined ? {} : { source }),
  };
}
