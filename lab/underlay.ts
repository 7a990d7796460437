import type { Address, Family } from "../src/base/address.ts";
import { familyOf } from "../src/base/address.ts";
import { everything } from "../src/base/prefix.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { kernelSysctls, type Sysctls } from "../src/kernel/sysctl.ts";
import type { LinkSpec } from "../src/objects/link.ts";
import type { DeviceAddress, Route } from "../src/objects/route.ts";
import { mainTable } from "../src/objects/route.ts";
import { type Host, mac, type NodePlan, type Topology, type UnderlaySubnet } from "./topology.ts";

/** The cables: what the machines of a real cluster find plugged in before anybody installs a pod network. */

/** RTPROT_STATIC (rtnetlink.h): laid by an administrator. */
const staticProtocol = 4;
/** The device of every machine that leads to its LAN. */
export const underlayDevice = "eth0";
const outsidePort = "outside";

/** The router: forwards, knows its LANs and the outside, and no pod network. `router` is a socket in its namespace. */
export function buildRouter(router: Rtnl, topology: Topology, outsideNetns: number): void {
  for (const family of topology.families) kernelSysctls().write(forwarding[family], "1");
  bringUpLoopback(router);
  withoutDad(kernelSysctls(), () => buildWires(router, topology, outsideNetns));
}

function buildWires(router: Rtnl, topology: Topology, outsideNetns: number): void {
  for (const subnet of topology.subnets) buildLan(router, subnet, topology.mtu);
  plug(router, outsidePort, topology.outside, outsideNetns, topology.mtu, mac("port", 0));
  const port = requireLink(router, outsidePort);
  for (const [index, address] of topology.outside.gateways.entries())
    router.do({
      op: "address.add",
      address: deviceAddress(port, address, topology.outside.addresses[index]?.length ?? 0),
    });
}

/** A bridge that holds the gateway's addresses. Its MAC is set, or it would change with each port that comes and goes. */
function buildLan(router: Rtnl, subnet: UnderlaySubnet, mtu: number): void {
  router.do({
    op: "link.add",
    spec: { name: subnet.name, kind: { type: "bridge" }, mac: subnet.gateway.mac, mtu, up: true },
  });
  const bridge = requireLink(router, subnet.name);
  for (const { address, length } of subnet.gateway.addresses)
    router.do({ op: "address.add", address: deviceAddress(bridge, address, length) });
}

/** A node's network card, cable and switch port, addresses and default routes. */
export function plugNode(router: Rtnl, node: NodePlan, netns: number, mtu: number): void {
  const master = requireLink(router, node.subnet.name);
  plug(router, node.name, node, netns, mtu, mac("port", node.number), master);
}

/** The node's cable is gone, and its device with it. Nothing happens when it was not there. */
export function unplugNode(router: Rtnl, name: string): void {
  const port = router.link(name);
  if (port !== undefined) router.do({ op: "link.delete", index: port.index });
}

/** Pulls the cable or puts it back: the node's device loses or gains its carrier. */
export function setCable(router: Rtnl, name: string, up: boolean): void {
  router.do({ op: "link.set", index: requireLink(router, name), change: { up } });
}

export const isCableIn = (router: Rtnl, name: string): boolean => router.link(name)?.up ?? false;

export function bringUpLoopback(rtnl: Rtnl): void {
  rtnl.do({ op: "link.set", index: requireLink(rtnl, "lo"), change: { up: true } });
}

function plug(
  router: Rtnl,
  port: string,
  host: Host,
  netns: number,
  mtu: number,
  portMac: Host["mac"],
  master?: number,
): void {
  const spec: LinkSpec = {
    name: port,
    kind: { type: "veth" },
    mac: portMac,
    mtu,
    up: true,
    ...(master === undefined ? {} : { master }),
    peer: { name: underlayDevice, netns, mac: host.mac, mtu, up: true },
  };
  withoutDad(kernelSysctls(netns), () => router.do({ op: "link.add", spec }));
  const rtnl = openRtnl({ netns });
  try {
    bringUpLoopback(rtnl);
    const device = requireLink(rtnl, underlayDevice);
    for (const { address, length } of host.addresses)
      rtnl.do({ op: "address.add", address: deviceAddress(device, address, length) });
    for (const gateway of host.gateways) rtnl.do({ op: "route.add", route: defaultRoute(gateway, device) });
  } finally {
    rtnl.close();
  }
}

/**
 * Devices made meanwhile have link-local addresses that are valid at once. Duplicate address detection would take up to
 * two seconds, in which a router sends no neighbour solicitations: the machines of a lab are up for longer than that.
 * The setting is put back, for what the agent makes must be seen with it.
 */
function withoutDad(sysctls: Sysctls, work: () => void): void {
  const name = ["ipv6", "conf", "default", "accept_dad"];
  const before = sysctls.tryRead(name);
  const set = (value: string) => {
    if (before !== undefined) sysctls.write(name, value); // else a kernel without IPv6
  };
  set("0");
  try {
    work();
  } finally {
    set(before ?? "");
  }
}

/** Without duplicate address detection: the plan has no duplicates, and a second of waiting would be a second of lab. */
const deviceAddress = (device: number, address: Address, length: number): DeviceAddress => ({
  device,
  address,
  length,
  scope: "universe",
  ...(familyOf(address) === 6 ? { noDad: true } : {}),
});

const defaultRoute = (gateway: Address, device: number): Route => ({
  destination: everything(familyOf(gateway)),
  type: "unicast",
  table: mainTable,
  protocol: staticProtocol,
  scope: "universe",
  metric: familyOf(gateway) === 6 ? 1024 : 0,
  gateway,
  device,
});

function requireLink(rtnl: Rtnl, name: string): number {
  const link = rtnl.link(name);
  if (link === undefined) throw new RangeError(`the device ${name} that was made is not there`);
  return link.index;
}

const forwarding: Readonly<Record<Family, readonly string[]>> = {
  4: ["ipv4", "ip_forward"],
  6: ["ipv6", "conf", "all", "forwarding"],
};

/**
 * A namespace gets IPv4 settings of the host's (net.core.devconf_inherit_init_net), so whether a node forwards would
 * depend on the machine that the lab runs on. A node of the lab is a fresh machine: who needs forwarding turns it on.
 */
export const resetForwarding = (netns: number): void => kernelSysctls(netns).write(forwarding[4], "0");
