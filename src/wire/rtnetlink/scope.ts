import type { RouteScope } from "../../objects/route.ts";

/** enum rt_scope_t, include/uapi/linux/rtnetlink.h: the distance to a destination, or where an address is valid. */
const numbers: Readonly<Record<RouteScope, number>> = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 };

export const scopeNumber = (scope: RouteScope): number => numbers[scope];

/** The values between the named ones are an administrator's own; they count as the next wider name. */
export function scopeFromNumber(number: number): RouteScope {
  if (number >= numbers.nowhere) return "nowhere";
  if (number >= numbers.host) return "host";
  if (number >= numbers.link) return "link";
  return number >= numbers.site ? "site" : "universe";
}
