import { type DesiredRoute, routeKey } from "../objects/desired.ts";
import { mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import type { EntryKind } from "./entry-kind.ts";

/** Routes of our protocol in the main table, over whatever device. */
export const routeKind: EntryKind<DesiredRoute, Route> = {
  name: "route",
  describe: (key, desired) =>
    `route ${key}${desired === undefined ? "" : ` via ${desired.gateway} dev ${desired.device}`}`,
  desired: (kernel) => kernel.routes,
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
  change: (desired, device) => [{ op: "route.replace", route: wantedRoute(desired, device) }],
  remove: (held) => [{ op: "route.delete", route: held }],
};

export function wantedRoute(desired: DesiredRoute, device: number): Route {
  const { destination, gateway, onlink, metric, source } = desired;
  return {
    destination,
    type: "unicast",
    table: mainTable,
    protocol: TWILL_ROUTE_PROTOCOL,
    scope: "universe",
    metric,
    gateway,
    device,
    ...(onlink ? { onlink } : {}),
    ...(source === undefined ? {} : { source }),
  };
}
