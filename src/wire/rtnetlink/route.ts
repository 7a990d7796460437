import { type Address, bytesOf, type Family, familyOf, unspecified } from "../../base/address.ts";
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { baseOf, isEverything, lengthOf, prefixFamily, prefixOf } from "../../base/prefix.ts";
import type { NextHop, Route, RouteType } from "../../objects/route.ts";
import { AttributeReader, AttributeWriter } from "../netlink/attributes.ts";
import { addressOf, familyFromNumber, familyNumber } from "./family.ts";
import { scopeFromNumber, scopeNumber } from "./scope.ts";

/** Routes: struct rtmsg (12 bytes) and RTA_*, include/uapi/linux/rtnetlink.h. */
const HEADER = 12;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_MARK = 16;
/** A gateway of another family than the destination's (RFC 8950), struct rtvia. Kernel 5.2 for IPv4. */
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;

const RTNH_F_DEAD = 1;
const RTNH_F_ONLINK = 4;
const RTNH_F_LINKDOWN = 16;
/** An entry of the exception cache (a learned path MTU), or an answer to RTM_GETROUTE: no route that anybody added. */
const RTM_F_CLONED = 0x200;
/** RTM_GETROUTE: answer with the table that the route was found in. */
const RTM_F_LOOKUP_TABLE = 0x1000;
/** Tables above stand in RTA_TABLE only. */
const RT_TABLE_COMPAT = 252;

/** RTN_*, by number. */
const types: readonly RouteType[] = [
  "other",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
  "nat",
];

/** RTM_GETROUTE with NLM_F_DUMP. The kernel filters only with NETLINK_GET_STRICT_CHK, so callers check again. */
export function encodeRouteQuery(filter: {
  readonly family: Family;
  readonly table?: number;
  readonly protocol?: number;
  readonly device?: number;
}): Uint8Array {
  const writer = new ByteWriter(64).u8(familyNumber(filter.family)).zero(4);
  const attributes = new AttributeWriter(
    writer
      .u8(filter.protocol ?? 0)
      .zero(2)
      .u32(0),
  );
  if (filter.table !== undefined) attributes.u32(RTA_TABLE, filter.table);
  if (filter.device !== undefined) attributes.u32(RTA_OIF, filter.device);
  return attributes.finish();
}

/** RTM_GETROUTE: what would happen to a packet. */
export function encodeRouteLookup(
  destination: Address,
  options: { readonly source?: Address; readonly inputDevice?: number; readonly mark?: number },
): Uint8Array {
  const family = familyOf(destination);
  const width = family === 4 ? 32 : 128;
  const attributes = new AttributeWriter(
    new ByteWriter(64)
      .u8(familyNumber(family))
      .u8(width)
      .u8(options.source === undefined ? 0 : width)
      .zero(5)
      .u32(family === 4 ? RTM_F_LOOKUP_TABLE : 0),
  );
  attributes.raw(RTA_DST, bytesOf(destination));
  if (options.source !== undefined) attributes.raw(RTA_SRC, bytesOf(options.source));
  if (options.inputDevice !== undefined) attributes.u32(RTA_IIF, options.inputDevice);
  if (options.mark !== undefined) attributes.u32(RTA_MARK, options.mark);
  return attributes.finish();
}

/** RTM_NEWROUTE and RTM_DELROUTE. */
export function encodeRoute(route: Route): Uint8Array {
  const family = prefixFamily(route.destination);
  const flags = (route.onlink === true ? RTNH_F_ONLINK : 0) | (route.dead === true ? RTNH_F_DEAD : 0);
  const attributes = new AttributeWriter(
    new ByteWriter(128)
      .u8(familyNumber(family))
      .u8(lengthOf(route.destination))
      .u8(0) // source length
      .u8(0) // TOS
      .u8(route.table < 256 ? route.table : RT_TABLE_COMPAT)
      .u8(route.protocol)
      .u8(scopeNumber(route.scope))
      .u8(types.indexOf(route.type))
      .u32(flags),
  );
  if (!isEverything(route.destination)) attributes.raw(RTA_DST, bytesOf(baseOf(route.destination)));
  attributes.u32(RTA_TABLE, route.table);
  if (route.metric !== 0) attributes.u32(RTA_PRIORITY, route.metric);
  if (route.source !== undefined) attributes.raw(RTA_PREFSRC, bytesOf(route.source));
  if (route.gateway !== undefined) encodeGateway(attributes, family, route.gateway);
  if (route.device !== undefined) attributes.u32(RTA_OIF, route.device);
  const { mtu, advmss, hops } = route;
  if (mtu !== undefined || advmss !== undefined) {
    attributes.nested(RTA_METRICS, (metrics) => {
      if (mtu !== undefined) metrics.u32(RTAX_MTU, mtu);
      if (advmss !== undefined) metrics.u32(RTAX_ADVMSS, advmss);
    });
  }
  if (hops !== undefined) {
    attributes.nested(RTA_MULTIPATH, (list) => {
      for (const hop of hops) encodeHop(list, family, hop);
    });
  }
  return attributes.finish();
}

function encodeGateway(attributes: AttributeWriter, family: Family, gateway: Address): void {
  const own = familyOf(gateway);
  if (own === family) attributes.raw(RTA_GATEWAY, bytesOf(gateway));
  else attributes.raw(RTA_VIA, new ByteWriter(18).u16(familyNumber(own)).raw(bytesOf(gateway)).bytes());
}

/** struct rtnexthop: length (u16), flags, weight − 1, device, then attributes of its own. */
function encodeHop(list: AttributeWriter, family: Family, hop: NextHop): void {
  const start = list.bytes.length;
  list.bytes
    .u16(0)
    .u8(hop.onlink === true ? RTNH_F_ONLINK : 0)
    .u8(hop.weight - 1)
    .u32(hop.device);
  if (hop.gateway !== undefined) encodeGateway(list, family, hop.gateway);
  list.bytes.patchU16(start, list.bytes.length - start);
}

/** Whether an RTM_NEWROUTE or RTM_DELROUTE is about a route of a table, not about one packet's cached way. */
export function isTableRoute(payload: Uint8Array): boolean {
  return (
    payload.length >= HEADER &&
    (new DataView(payload.buffer, payload.byteOffset).getUint32(8, true) & RTM_F_CLONED) === 0
  );
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** @throws TwillError `corrupt`, also for a family that is neither IPv4 nor IPv6. */
export function decodeRoute(payload: Uint8Array): Route {
  const reader = new ByteReader(payload);
  const family = familyFromNumber(reader.u8());
  const length = reader.u8();
  if (length > (family === 4 ? 32 : 128)) throw new TwillError("corrupt", `a route of length ${length}`);
  reader.skip(2);
  const table = reader.u8();
  const protocol = reader.u8();
  const scope = scopeFromNumber(reader.u8());
  const type = types[reader.u8()] ?? "other";
  const flags = reader.u32();
  let destination = unspecified(family);
  const route: Omit<Writable<Route>, "destination"> = { type, table, protocol, scope, metric: 0 };
  if ((flags & RTNH_F_ONLINK) !== 0) route.onlink = true;
  if ((flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) !== 0) route.dead = true;
  const attributes = new AttributeReader(payload, HEADER);
  while (attributes.next()) {
    switch (attributes.type) {
      case RTA_DST:
        destination = addressOf(family, attributes.bytes());
        break;
      case RTA_TABLE:
        route.table = attributes.u32();
        break;
      case RTA_PRIORITY:
        route.metric = attributes.u32();
        break;
      case RTA_PREFSRC:
        route.source = addressOf(family, attributes.bytes());
        break;
      case RTA_GATEWAY:
        route.gateway = addressOf(family, attributes.bytes());
        break;
      case RTA_VIA:
        route.gateway = decodeVia(attributes.bytes());
        break;
      case RTA_OIF:
        route.device = attributes.u32();
        break;
      case RTA_METRICS:
        decodeMetrics(attributes.nested(), route);
        break;
      case RTA_MULTIPATH:
        route.hops = decodeHops(family, attributes.bytes());
        break;
    }
  }
  return { destination: prefixOf(destination, length), ...route };
}

function decodeVia(bytes: Uint8Array): Address {
  const reader = new ByteReader(bytes);
  const family = familyFromNumber(reader.u16());
  return addressOf(family, reader.take(reader.remaining));
}

function decodeMetrics(metrics: AttributeReader, route: { mtu?: number; advmss?: number }): void {
  while (metrics.next()) {
    if (metrics.type === RTAX_MTU) route.mtu = metrics.u32();
    else if (metrics.type === RTAX_ADVMSS) route.advmss = metrics.u32();
  }
}

function decodeHops(family: Family, bytes: Uint8Array): NextHop[] {
  const hops: NextHop[] = [];
  const reader = new ByteReader(bytes);
  while (reader.remaining >= 8) {
    const length = reader.u16();
    const flags = reader.u8();
    const weight = reader.u8() + 1;
    const device = reader.u32();
    if (length < 8) throw new TwillError("corrupt", `a next hop of ${length} bytes`);
    const attributes = new AttributeReader(reader.take(length - 8));
    let gateway: Address | undefined;
    while (attributes.next()) {
      if (attributes.type === RTA_GATEWAY) gateway = addressOf(family, attributes.bytes());
      else if (attributes.type === RTA_VIA) gateway = decodeVia(attributes.bytes());
    }
    hops.push({
      device,
      weight,
      ...(gateway === undefined ? {} : { gateway }),
      ...((flags & RTNH_F_ONLINK) === 0 ? {} : { onlink: true }),
    });
    reader.skip(Math.min(-length & 3, reader.remaining));
  }
  return hops;
}
