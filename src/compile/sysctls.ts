import type { ClusterNetwork } from "../model/network.ts";
import type { LocalNode } from "../model/node.ts";
import type { SysctlSetting, TunnelDevice } from "../model/node-state.ts";

/** Kernel settings without which pod traffic stops at this node (Documentation/networking/ip-sysctl.rst). In writing order. */
export function sysctlsFor(
  network: ClusterNetwork,
  local: LocalNode,
  tunnels: readonly TunnelDevice[],
): readonly SysctlSetting[] {
  const settings: SysctlSetting[] = [];
  if (network.ipv4 !== undefined) settings.push({ path: "net/ipv4/ip_forward", value: "1" });
  if (network.ipv6 !== undefined) {
    const { device, routerAdvertisements } = local.underlay;
    // A forwarding node ignores router advertisements unless accept_ra is 2, and the moment forwarding is switched on
    // the kernel drops the default route that it learnt by them (addrconf.c, rt6_purge_dflt_routers): so 2 comes first.
    if (routerAdvertisements === true) {
      settings.push({ path: `net/ipv6/conf/${device}/accept_ra`, value: "2", device });
    }
    settings.push({ path: "net/ipv6/conf/all/forwarding", value: "1" });
  }
  for (const { name, kind } of tunnels) {
    if (kind.local.includes(":")) {
      settings.push({ path: `net/ipv6/conf/${name}/disable_ipv6`, value: "0", device: name });
    } else {
      // Loose: with DirectRouting a peer may come by the tunnel while our route to it is direct. The kernel takes the
      // larger of this and conf/all, so a strict "all" does not win.
      settings.push({ path: `net/ipv4/conf/${name}/rp_filter`, value: "2", device: name });
    }
    // A pod or a peer must not become this node's router by an advertisement through the tunnel.
    settings.push({ path: `net/ipv6/conf/${name}/accept_ra`, value: "0", device: name, optional: true });
  }
  return settings;
}
