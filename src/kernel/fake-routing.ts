import { type Address, type Family, familyOf, unspecified } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import {
  addressAt,
  contains,
  hostPrefix,
  lengthOf,
  type Prefix,
  prefixFamily,
  prefixOf,
  sizeOf,
} from "../base/prefix.ts";
import type { Link } from "../objects/link.ts";
import { type DeviceAddress, localTable, mainTable, type Route } from "../objects/route.ts";
import {
  EADDRNOTAVAIL,
  EEXIST,
  EHOSTUNREACH,
  EINVAL,
  ENETDOWN,
  ENETUNREACH,
  ENODEV,
  ESRCH,
  errnoError,
} from "./errno.ts";
import type { RtnlEvent } from "./rtnl.ts";

/** RTPROT_KERNEL: routes that the kernel adds by itself. */
const KERNEL_PROTOCOL = 2;
/** What the kernel gives an IPv6 route without a metric (IP6_RT_PRIO_USER). */
const IPV6_METRIC = 1024;
/** And those that it adds for addresses (IP6_RT_PRIO_ADDRCONF). */
const IPV6_CONNECTED_METRIC = 256;

/**
 * Addresses and routes of the fake: the kernel's rules that Twill can run into. Refusals carry the kernel's errno. Not
 * imitated: secondary addresses and their promotion, IPv6 anycast routes, autoconfiguration.
 */
export class FakeRouting {
  addresses: DeviceAddress[] = [];
  routes: Route[] = [];
  readonly #link: (index: number) => Link | undefined;
  readonly #emit: (event: RtnlEvent) => void;

  constructor(link: (index: number) => Link | undefined, emit: (event: RtnlEvent) => void) {
    this.#link = link;
    this.#emit = emit;
  }

  addAddress(wanted: DeviceAddress, replace: boolean): void {
    const link = this.#link(wanted.device);
    if (link === undefined) throw errnoError(ENODEV);
    const address: DeviceAddress = {
      ...wanted,
      permanent: true,
      ...(familyOf(wanted.address) === 4 ? { label: wanted.label ?? link.name } : { scope: scopeOf6(wanted.address) }),
    };
    const existing = this.addresses.find((other) => sameAddress(other, address));
    if (existing !== undefined && !replace) throw errnoError(EEXIST);
    this.addresses = this.addresses.filter((other) => other !== existing);
    this.addresses.push(address);
    this.#emit({ type: "address", change: "new", address });
    if (link.up) this.#connect(address, link);
  }

  deleteAddress(wanted: DeviceAddress): void {
    if (this.#link(wanted.device) === undefined) throw errnoError(ENODEV);
    const address = this.addresses.find((other) => sameAddress(other, wanted));
    if (address === undefined) throw errnoError(EADDRNOTAVAIL);
    this.#forgetAddress(address);
  }

  #forgetAddress(address: DeviceAddress): void {
    this.addresses = this.addresses.filter((other) => other !== address);
    const left = new Set(this.addresses.flatMap((other) => kernelRoutes(other, false).map(routeKey)));
    const own = new Set(kernelRoutes(address, false).map(routeKey));
    const isSource = (route: Route) =>
      route.source === address.address && !this.addresses.some((other) => other.address === address.address);
    this.#drop((route) => {
      const isOwn = route.device === address.device && own.has(routeKey(route)) && route.protocol === KERNEL_PROTOCOL;
      return (isOwn && !left.has(routeKey(route))) || isSource(route);
    });
    this.#emit({ type: "address", change: "delete", address });
  }

  #connect(address: DeviceAddress, link: Link): void {
    for (const route of kernelRoutes(address, link.loopback)) {
      if (!this.routes.some((other) => routeKey(other) === routeKey(route))) this.#insert(route);
    }
  }

  #insert(route: Route): void {
    this.routes.push(route);
    this.#emit({ type: "route", change: "new", route });
  }

  #drop(condition: (route: Route) => boolean): void {
    const gone = this.routes.filter(condition);
    this.routes = this.routes.filter((route) => !gone.includes(route));
    for (const route of gone) this.#emit({ type: "route", change: "delete", route });
  }

  addRoute(wanted: Route, replace: boolean): void {
    const route = this.#checked(wanted);
    const same = this.routes.find((other) => samePlace(other, route));
    if (same !== undefined && !replace) throw errnoError(EEXIST);
    this.routes = this.routes.filter((other) => other !== same);
    this.#insert(route);
  }

  deleteRoute(wanted: Route): void {
    // Metric 0 stands for any.
    const found = this.routes.find(
      (route) =>
        route.destination === wanted.destination &&
        route.table === wanted.table &&
        route.type === wanted.type &&
        (wanted.metric === 0 || route.metric === wanted.metric) &&
        (wanted.protocol === 0 || route.protocol === wanted.protocol) &&
        (wanted.gateway === undefined || route.gateway === wanted.gateway) &&
        (wanted.device === undefined || route.device === wanted.device) &&
        (wanted.source === undefined || route.source === wanted.source),
    );
    if (found === undefined) throw errnoError(ESRCH);
    this.#drop((route) => route === found);
  }

  /** The route as the kernel would keep it. @throws TwillError with the errno of its refusal. */
  #checked(route: Route): Route {
    const family = prefixFamily(route.destination);
    const metric = route.metric === 0 && family === 6 ? IPV6_METRIC : route.metric;
    if (route.type === "blackhole" || route.type === "unreachable" || route.type === "prohibit") {
      if (family === 4 && (route.gateway !== undefined || route.device !== undefined)) throw errnoError(EINVAL);
      return { ...route, metric };
    }
    if (route.source !== undefined && !this.addresses.some(({ address }) => address === route.source)) {
      throw errnoError(EINVAL, { detail: "Invalid prefsrc address" });
    }
    if (route.hops !== undefined) {
      for (const hop of route.hops) this.#hop(family, hop);
      return { ...route, metric };
    }
    return { ...route, metric, device: this.#hop(family, route) };
  }

  /** @returns the device of a next hop, found by its gateway where none is named. */
  #hop(family: Family, hop: Pick<Route, "gateway" | "device" | "onlink">): number {
    const { gateway, device } = hop;
    if (device === undefined && (gateway === undefined || hop.onlink === true)) throw errnoError(ENODEV);
    const needsNoRoute = hop.onlink === true || gateway === undefined || (family === 6 && gateway.startsWith("fe80:"));
    if (device !== undefined) {
      const link = this.#link(device);
      // IPv4 first looks for the way to the gateway on that device, and finds none.
      const checksDevice = needsNoRoute || family === 6;
      if (link === undefined && checksDevice) throw errnoError(ENODEV);
      if (link?.up !== true && checksDevice) throw errnoError(ENETDOWN);
    }
    if (gateway === undefined) return device ?? 0;
    // IPv4 lets a gateway be an address of this node, unless it is onlink (fib_check_nh_v4_gw).
    if ((family === 6 || hop.onlink === true) && this.addresses.some(({ address }) => address === gateway)) {
      throw errnoError(EINVAL, { detail: "Nexthop has invalid gateway" });
    }
    if (needsNoRoute) {
      if (device === undefined) throw errnoError(EINVAL);
      return device;
    }
    const way = this.routes
      .filter(
        (route) =>
          route.table === mainTable &&
          route.gateway === undefined &&
          route.device !== undefined &&
          (device === undefined || route.device === device) &&
          contains(route.destination, gateway),
      )
      .sort((a, b) => lengthOf(b.destination) - lengthOf(a.destination))[0];
    if (way?.device === undefined) {
      throw errnoError(family === 4 ? ENETUNREACH : EHOSTUNREACH, { detail: "Nexthop has invalid gateway" });
    }
    return way.device;
  }

  /** Longest prefix, then lowest metric, in the local table and then the main one. @throws TwillError as RTM_GETROUTE. */
  lookup(destination: Address): Route {
    for (const table of [localTable, mainTable]) {
      const found = this.routes
        .filter((route) => route.table === table && contains(route.destination, destination))
        .sort((a, b) => lengthOf(b.destination) - lengthOf(a.destination) || a.metric - b.metric)[0];
      if (found === undefined) continue;
      if (found.type === "blackhole") throw errnoError(EINVAL);
      if (found.type === "unreachable") throw errnoError(EHOSTUNREACH);
      if (found.type === "prohibit") throw new TwillError("denied", "prohibited", { errno: 13 });
      return { ...found, destination: hostPrefix(destination) };
    }
    throw errnoError(ENETUNREACH);
  }

  linkUp(link: Link): void {
    for (const address of this.addresses) if (address.device === link.index) this.#connect(address, link);
  }

  /**
   * IPv4 keeps the addresses and their local routes and loses all others; IPv6 loses addresses and routes
   * (fib_sync_down_dev, addrconf_ifdown). Nothing that an administrator added comes back with the link.
   */
  linkDown(index: number): void {
    this.#drop(
      (route) => usesDevice(route, index) && !(route.type === "local" && prefixFamily(route.destination) === 4),
    );
    for (const address of this.addresses) {
      if (address.device === index && familyOf(address.address) === 6) this.#forgetAddress(address);
    }
  }

  linkGone(index: number): void {
    for (const address of this.addresses) if (address.device === index) this.#forgetAddress(address);
    this.#drop((route) => usesDevice(route, index));
  }
}

const usesDevice = (route: Route, index: number): boolean =>
  route.device === index || route.hops?.some((hop) => hop.device === index) === true;

const sameAddress = (a: DeviceAddress, b: DeviceAddress): boolean =>
  a.device === b.device && a.address === b.address && a.length === b.length;

/** What two routes may not share. IPv4 and IPv6 alike, with NLM_F_EXCL or NLM_F_REPLACE. */
const samePlace = (a: Route, b: Route): boolean =>
  a.destination === b.destination && a.table === b.table && a.metric === b.metric;

const routeKey = (route: Route): string =>
  `${route.table} ${route.destination} ${route.type} ${route.metric} ${route.device} ${route.source ?? ""}`;

const scopeOf6 = (address: Address) => {
  if (address === "::1") return "host" as const;
  return contains("fe80::/10" as Prefix, address) ? ("link" as const) : ("universe" as const);
};

/** The routes that an address brings along while its link is up. */
function kernelRoutes(value: DeviceAddress, loopback: boolean): Route[] {
  const { address, device, length } = value;
  const family = familyOf(address);
  const network = prefixOf(value.peer ?? address, length);
  const base = { device, protocol: KERNEL_PROTOCOL, table: localTable } as const;
  const isHost = length === (family === 4 ? 32 : 128);
  if (family === 6) {
    const own: Route = { ...base, destination: hostPrefix(address), type: "local", scope: "universe", metric: 0 };
    if (value.noPrefixRoute === true || (isHost && loopback) || address === unspecified(6)) return [own];
    const connected = { ...base, type: "unicast", scope: "universe", metric: IPV6_CONNECTED_METRIC } as const;
    return [own, { ...connected, destination: network, table: mainTable }];
  }
  const common = { ...base, metric: 0, source: address } as const;
  const routes: Route[] = [{ ...common, destination: hostPrefix(address), type: "local", scope: "host" }];
  if (isHost && value.peer === undefined) return routes;
  const isLoopbackNet = contains("127.0.0.0/8" as Prefix, address);
  if (isLoopbackNet) routes.push({ ...common, destination: network, type: "local", scope: "host" });
  else if (value.noPrefixRoute !== true) {
    routes.push({ ...common, destination: network, table: mainTable, type: "unicast", scope: "link" });
  }
  if (length < 31) {
    const last = addressAt(network, sizeOf(network) - 1n);
    routes.push({ ...common, destination: hostPrefix(last), type: "broadcast", scope: "link" });
  }
  return routes;
}
