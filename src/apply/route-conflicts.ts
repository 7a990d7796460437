import { EEXIST, EINVAL } from "../kernel/errno.ts";
import type { Rtnl } from "../kernel/rtnl.ts";
import { routeKey } from "../objects/desired.ts";
import { mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import type { Refusal } from "./entry-writer.ts";

/** The routes that stand where the kernel refused one of ours (EEXIST). The table is read once, whatever is asked. */
export class RouteConflicts {
  readonly #rtnl: Rtnl;
  #routes: ReadonlyMap<string, Route> | undefined;

  constructor(rtnl: Rtnl) {
    this.#rtnl = rtnl;
  }

  /** What is at that key of the main table now. Undefined: it is gone again. */
  at(key: string): Route | undefined {
    this.#routes ??= new Map(this.#rtnl.routes({ table: mainTable }).map((route) => [routeKey(route), route] as const));
    return this.#routes.get(key);
  }
}

/** Refused for what else is in the table: the same place is taken, or (IPv6) the gateway is found over another device. */
export const isConflict = ({ kind, write, error }: Refusal): boolean =>
  kind === "route" && (error.errno === EEXIST || (error.errno === EINVAL && write.key.includes(":")));

export const isOurs = (route: Route): boolean => route.protocol === TWILL_ROUTE_PROTOCOL && route.table === mainTable;

/** rtnetlink.h and iproute2's rt_protos, those that a person may meet. */
const protocolNames: Readonly<Record<number, string>> = {
  2: "kernel",
  3: "boot",
  4: "static",
  9: "ra",
  11: "zebra",
  12: "bird",
  16: "dhcp",
  186: "bgp",
};

/** As `ip route` prints it, for the person who must decide about it. */
export function describeForeign(route: Route, deviceName: string | undefined): string {
  const via = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  const device = deviceName === undefined ? "" : ` dev ${deviceName}`;
  return `${route.destination}${via}${device} proto ${protocolNames[route.protocol] ?? route.protocol}`;
}
