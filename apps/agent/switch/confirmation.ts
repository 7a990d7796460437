import type { Rtnl } from "../../../src/kernel/rtnl.ts";
import type { Sysctls } from "../../../src/kernel/sysctl.ts";
import type { NodeState, TunnelDevice } from "../../../src/model/node-state.ts";
import type { Link } from "../../../src/objects/link.ts";
import { mainTable, TWILL_ROUTE_PROTOCOL } from "../../../src/objects/route.ts";

/**
 * Why the kernel is not known to be so that the others may rely on it; undefined: it is. Read from the kernel itself, for
 * an acknowledgement that is not true costs packets. That a route is missing is no reason: nothing is sent by it.
 */
export function unconfirmed({ own, peers }: NodeState, rtnl: Rtnl, sysctls: Sysctls): string | undefined {
  const links = new Map(rtnl.links().map((link) => [link.name, link]));
  for (const tunnel of own.tunnels) {
    const link = links.get(tunnel.name);
    if (link === undefined || !isTunnel(link, tunnel)) return `${tunnel.name} is not as it should be`;
    // Without an address the kernel drops what comes asymmetrically, however loose its filter (__fib_validate_source).
    const held = new Set(rtnl.addresses({ device: link.index }).map(({ address, length }) => `${address}/${length}`));
    const missing = tunnel.addresses.find((address) => !held.has(address));
    if (missing !== undefined) return `${tunnel.name} lacks ${missing}`;
  }
  const unset = own.sysctls.find(({ name, value, optional }) => {
    const now = sysctls.tryRead(name);
    return now === undefined ? optional !== true : now !== value;
  });
  if (unset !== undefined) return `${unset.name.join("/")} is not ${unset.value}`;
  return wrongRoute(peers, rtnl, links);
}

/** A route of ours that leads another way than it should: what is sent there still goes by the configuration of before. */
function wrongRoute(peers: NodeState["peers"], rtnl: Rtnl, links: ReadonlyMap<string, Link>): string | undefined {
  const wanted = new Map<string, { readonly device: number | undefined; readonly gateway: string }>();
  for (const { routes } of peers.values()) {
    for (const { destination, device, gateway } of routes)
      wanted.set(destination, { device: links.get(device)?.index, gateway });
  }
  for (const route of rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable })) {
    const right = wanted.get(route.destination);
    if (right === undefined || right.device !== route.device || right.gateway !== route.gateway)
      return `the route to ${route.destination} still leads the other way`;
  }
  return undefined;
}

const isTunnel = ({ kind, up, mac, mtu }: Link, wanted: TunnelDevice): boolean =>
  up &&
  mac === wanted.mac &&
  mtu === wanted.mtu &&
  kind.type === "vxlan" &&
  kind.vni === wanted.kind.vni &&
  kind.port === wanted.kind.port &&
  kind.local === wanted.kind.local;
