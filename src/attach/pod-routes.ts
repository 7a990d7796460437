import { type Address, familyOf } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { lengthOf, type Prefix, prefixFamily } from "../base/prefix.ts";
import type { Link } from "../objects/link.ts";
import { mainTable, type Route } from "../objects/route.ts";
import type { Namespace } from "./attach-kernel.ts";
import type { AttachPlan, PodRoute } from "./attachment.ts";

/** include/uapi/linux/rtnetlink.h: RTPROT_STATIC, for the pod's own routing table is not ours to reconcile. */
const podRouteProtocol = 4;
/** Indices of a namespace are given out in order and `lo` is 1, so the device with this one is the pod's first. */
const firstDevice = 2;

/**
 * Gateways of the plan's routes filled in from `gateways`, by family; a route that nobody has a gateway for is on-link.
 * Routes that yield are left out where another interface of the pod has one to the same destination.
 * @throws TwillError `exists` for any other that the pod has already.
 */
export function resolveRoutes(
  pod: Namespace,
  link: Link,
  plan: AttachPlan,
  gateways: readonly Address[],
): readonly PodRoute[] {
  const taken = destinationsOfOthers(pod, link, plan.routes);
  return plan.routes.flatMap(({ destination, gateway, yields }) => {
    const other = taken.get(destination);
    if (other !== undefined) {
      if (yields === true) return [];
      throw conflict(destination, pod.rtnl.link(other)?.name ?? "another interface", link.name);
    }
    const via = gateway ?? gateways.find((candidate) => familyOf(candidate) === prefixFamily(destination));
    return via === undefined ? { destination } : { destination, gateway: via };
  });
}

function conflict(destination: Prefix, holder: string, ifname: string): TwillError {
  const isDefault = lengthOf(destination) === 0;
  return new TwillError("exists", `the pod's route to ${destination} leads through ${holder} already`, {
    operation: "attach",
    object: ifname,
    remedy: isDefault
      ? 'let one of the pod\'s networks have "isDefaultGateway": true, or leave it out of all'
      : `take ${destination} out of one of the two networks`,
  });
}

/**
 * As the kernel is to have them, in their order. The way to a next hop may be there already, on another interface whose
 * next hop has the same address: it goes in beside it with a metric of its own, and a route that names its device
 * finds it there (fib_check_nh_v4_gw, net/ipv4/fib_semantics.c).
 */
export function podRoutes(pod: Namespace, link: Link, routes: readonly PodRoute[]): Route[] {
  const taken = destinationsOfOthers(pod, link, routes);
  return routes.map(({ destination, gateway }) => {
    const common = {
      destination,
      type: "unicast",
      table: mainTable,
      protocol: podRouteProtocol,
      metric: taken.has(destination) ? link.index : 0,
      device: link.index,
    } as const;
    if (gateway !== undefined) return { ...common, scope: "universe", gateway };
    return { ...common, scope: prefixFamily(destination) === 4 ? "link" : "universe" };
  });
}

/**
 * Where the pod's other interfaces lead, with their index: the kernel refuses a second route of one destination and metric.
 * Only of the families that `routes` have.
 */
function destinationsOfOthers(
  pod: Namespace,
  link: Link,
  routes: readonly { readonly destination: Prefix }[],
): ReadonlyMap<Prefix, number> {
  const taken = new Map<Prefix, number>();
  if (link.index === firstDevice) return taken;
  for (const family of new Set(routes.map(({ destination }) => prefixFamily(destination))))
    for (const { destination, device, metric } of pod.rtnl.routes({ family, table: mainTable })) {
      const usual = metric === (family === 4 ? 0 : 1024);
      if (usual && device !== undefined && device !== link.index) taken.set(destination, device);
    }
  return taken;
}
