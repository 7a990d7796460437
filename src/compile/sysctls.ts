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
  if (network.ipv4 !== undefined) settings.push({ name: ["ipv4", "ip_forward"], value: "1" });
  if (network.ipv6 !== undefined) {
    const { device, routerAdvertisements } = local.underlay;
    // A forwarding node ignores router advertisements unless accept_ra is 2, and the moment forwarding is switched on
    // the kernel drops the default route that it learnt by them (addrconf.c, rt6_purge_dflt_routers): so 2 comes first.
    if (routerAdvertisements === true) {
      settings.push({ name: ["ipv6", "conf", device, "accept_ra"], value: "2", device });
    }
    settings.push({ name: ["ipv6", "conf", "all", "forwarding"], value: "1" });
  }
  for (const { name: tunnel, kind } of tunnels) {
    if (kind.local.includes(":")) {
      settings.push({ name: ["ipv6", "conf", tunnel, "disable_ipv6"], value: "0", device: tunnel });
    } else {
      // Loose: with DirectRouting a peer may come by the tunnel while our route to it is direct. The kernel takes the
      // larger of this and conf/all, so a strict "all" does not win.
      settings.push({ name: ["ipv4", "conf", tunnel, "rp_filter"], value: "2", device: tunnel });
    }
    // A pod or a peer must not become this node's router by an advertisement through the tunnel.
    settings.push({ name: ["ipv6", "conf", tunnel, "accept_ra"], value: "0", device: tunnel, optional: true });
  }
  return settings;
}
