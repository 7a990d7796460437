import { prefixFamily } from "../base/prefix.ts";
import type { Link } from "../objects/link.ts";
import { mainTable, type Route } from "../objects/route.ts";
import type { AttachKernel, Namespace } from "./attach-kernel.ts";
import type { AttachmentKey } from "./attachment.ts";
import { hostDeviceName } from "./host-device.ts";
import { requireLink, setLinkMtu } from "./veth-pair.ts";

/** How long a pod's packets may be, bytes. */
export interface PodMtu {
  /** Of its interface: what it can receive, for a veth drops what is longer than its receiving end's MTU, silently. */
  readonly device: number;
  /**
   * What it may send, where that is less: while the cluster changes its configuration, pods must receive more than anybody
   * sends, before they send more and after they sent it. Absent: as much as the interface's MTU.
   */
  readonly sends?: number;
}

/** RFC 8200 section 5. */
const smallestIpv6 = 1280;
/** include/uapi/linux/rtnetlink.h: RTPROT_RA. Routes by router advertisement are the kernel's to keep. */
const byRouterAdvertisement = 9;

/**
 * Both ends of a running pod's veth, and its routes. A pod never sends what its own veth would drop, whatever the order
 * in which both change: when the interface grows, its routes are limited first, and when it shrinks, last.
 * @throws TwillError `not-found` when there is no such interface.
 */
export function setVethMtu(kernel: AttachKernel, key: AttachmentKey, netns: number | undefined, mtu: PodMtu): void {
  const host = hostDeviceName(key);
  const before = requireLink(kernel.node, host).mtu;
  const inPod = (work: (pod: Namespace) => void): void => {
    if (netns !== undefined) kernel.inPod(netns, work);
  };
  if (mtu.device > before) {
    inPod((pod) => limitRoutes(pod, key.ifname, mtu));
    setLinkMtu(kernel.node, host, mtu.device);
    inPod((pod) => setLinkMtu(pod, key.ifname, mtu.device));
  } else {
    inPod((pod) => setLinkMtu(pod, key.ifname, mtu.device));
    setLinkMtu(kernel.node, host, mtu.device);
    inPod((pod) => limitRoutes(pod, key.ifname, mtu));
  }
}

/** Every route of the interface carries the limit, or none. Each is replaced in one message, so none is missing meanwhile. */
export function limitRoutes(pod: Namespace, ifname: string, { device, sends }: PodMtu): void {
  const link = requireLink(pod, ifname);
  for (const route of pod.rtnl.routes({ device: link.index, table: mainTable })) {
    if (!isLimited(route)) continue;
    const limit = sends === undefined ? undefined : limitFor(route, link, sends, device);
    if (route.mtu === limit) continue;
    const { mtu: _, ...rest } = route;
    pod.rtnl.do({ op: "route.replace", route: limit === undefined ? rest : { ...rest, mtu: limit } });
  }
}

/**
 * A device that grows lifts IPv6 routes whose MTU was exactly its own (rt6_mtu_change_route, net/ipv6/route.c), which is
 * what the limit usually is: one byte less stays.
 */
function limitFor(route: Route, link: Link, sends: number, device: number): number {
  const lifted = prefixFamily(route.destination) === 6 && link.mtu < device && sends === link.mtu;
  return lifted ? Math.max(smallestIpv6, sends - 1) : sends;
}

const isLimited = ({ type, protocol, destination }: Route): boolean =>
  type === "unicast" && protocol !== byRouterAdvertisement && !destination.startsWith("fe80:");
