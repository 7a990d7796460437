import { type Address, type Family, familyOf } from "../../src/base/address.ts";
import { isCode, TwillError } from "../../src/base/errors.ts";
import { isEverything, type Prefix, prefixOf } from "../../src/base/prefix.ts";
import type { Ethtool } from "../../src/kernel/ethtool.ts";
import type { Rtnl } from "../../src/kernel/rtnl.ts";
import type { Sysctls } from "../../src/kernel/sysctl.ts";
import type { Underlay } from "../../src/model/node.ts";
import type { Link } from "../../src/objects/link.ts";
import { type DeviceAddress, mainTable } from "../../src/objects/route.ts";
import type { AgentOptions } from "./options.ts";

export type UnderlayOptions = Pick<AgentOptions, "iface" | "ifaceRegex" | "ifaceCanReach">;

export interface UnderlayKernel {
  readonly rtnl: Rtnl;
  readonly ethtool: Pick<Ethtool, "driver">;
  readonly sysctls: Sysctls;
}

/**
 * The device and addresses by which this node reaches the others, found as flanneld finds them: --iface, then
 * --iface-regex, then --iface-can-reach, then the default route of a wanted family.
 * @throws TwillError `unavailable`: nothing suitable yet; the message lists what there is. It may come (boot, DHCP).
 */
export function findUnderlay(kernel: UnderlayKernel, options: UnderlayOptions, families: readonly Family[]): Underlay {
  const { rtnl } = kernel;
  const links = rtnl.links().filter((link) => !link.loopback);
  const addresses = rtnl.addresses().filter((address) => usable(address));
  const link = chooseLink(rtnl, options, families, links, addresses);
  const own = addresses.filter((address) => address.device === link.index);

  const underlay: { -readonly [K in keyof Underlay]: Underlay[K] } = {
    device: link.name,
    index: link.index,
    mtu: link.mtu,
    attached: attachedNetworks(own),
    ...driverOf(kernel.ethtool, link.name),
    routerAdvertisements: listensToRouters(kernel.sysctls, link.name),
  };
  for (const family of families) {
    const address = own.find((candidate) => familyOf(candidate.address) === family)?.address;
    if (address === undefined) {
      throw new TwillError("unavailable", `${link.name} has no IPv${family} address that other nodes could use`, {
        operation: "find the underlay",
        remedy: "give it one, or name another interface with --iface",
      });
    }
    if (family === 4) underlay.ipv4 = address;
    else underlay.ipv6 = address;
  }
  return underlay;
}

function chooseLink(
  rtnl: Rtnl,
  options: UnderlayOptions,
  families: readonly Family[],
  links: readonly Link[],
  addresses: readonly DeviceAddress[],
): Link {
  const addressesOf = (link: Link) =>
    addresses.filter((address) => address.device === link.index).map((entry) => entry.address);
  const listing =
    links.map((link) => `${link.name} (${addressesOf(link).join(", ") || "no address"})`).join(", ") || "none";

  for (const wanted of options.iface) {
    const link = links.find(
      (candidate) => candidate.name === wanted || addressesOf(candidate).includes(wanted as Address),
    );
    if (link !== undefined) return link;
  }
  for (const pattern of options.ifaceRegex) {
    const expression = new RegExp(pattern);
    const link = links.find(
      (candidate) =>
        expression.test(candidate.name) || addressesOf(candidate).some((address) => expression.test(address)),
    );
    if (link !== undefined) return link;
  }
  if (options.ifaceCanReach !== undefined) return linkOfRoute(rtnl, options.ifaceCanReach, links);
  if (options.iface.length > 0 || options.ifaceRegex.length > 0) {
    throw new TwillError(
      "unavailable",
      `no interface matches ${[...options.iface, ...options.ifaceRegex].join(", ")}`,
      {
        operation: "find the underlay",
        remedy: `there are: ${listing}`,
      },
    );
  }
  for (const family of families) {
    const defaults = rtnl
      .routes({ family, table: mainTable })
      .filter(
        (route) =>
          isEverything(route.destination) &&
          route.type === "unicast" &&
          (route.device ?? route.hops?.[0]?.device) !== undefined,
      )
      .sort((a, b) => a.metric - b.metric);
    const device = defaults[0]?.device ?? defaults[0]?.hops?.[0]?.device;
    const link = links.find((candidate) => candidate.index === device);
    if (link !== undefined) return link;
  }
  throw new TwillError("unavailable", "there is no default route to tell which interface reaches the other nodes", {
    operation: "find the underlay",
    remedy: `name it with --iface; there are: ${listing}`,
  });
}

function linkOfRoute(rtnl: Rtnl, destination: Address, links: readonly Link[]): Link {
  try {
    const route = rtnl.routeTo(destination);
    const link = links.find((candidate) => candidate.index === route.device);
    if (link !== undefined) return link;
  } catch (error) {
    if (!isCode(error, "kernel")) throw error;
  }
  throw new TwillError("unavailable", `no interface reaches ${destination}`, {
    operation: "find the underlay",
    remedy: "add a route to it, or change --iface-can-reach",
  });
}

function driverOf(ethtool: Pick<Ethtool, "driver">, device: string): { readonly driver?: string } {
  const driver = ethtool.driver(device);
  return driver === undefined ? {} : { driver };
}

/**
 * accept_ra 1 listens only while the node does not forward, 2 always. Asked before the first pod, 1 tells that the node may
 * live by advertisements; once Twill has written 2, it stays so.
 */
function listensToRouters(sysctls: Sysctls, device: string): boolean {
  const accept = sysctls.tryRead(["ipv6", "conf", device, "accept_ra"]);
  const forwarding = sysctls.tryRead(["ipv6", "conf", device, "forwarding"]);
  return accept === "2" || (accept === "1" && forwarding === "0");
}

/** Not link-local, not still under duplicate address detection, not failed in it. */
function usable(address: DeviceAddress): boolean {
  if (address.tentative === true || address.dadFailed === true) return false;
  return (
    address.scope === "universe" ||
    address.scope === "site" ||
    (address.scope === "link" && familyOf(address.address) === 4)
  );
}

/** Networks whose hosts answer without a router. A /32 or /128 attaches nobody. */
function attachedNetworks(addresses: readonly DeviceAddress[]): Prefix[] {
  const networks = addresses
    .filter((entry) => entry.length < (familyOf(entry.address) === 4 ? 32 : 128))
    .map((entry) => prefixOf(entry.peer ?? entry.address, entry.length));
  return [...new Set(networks)].sort();
}

export const sameUnderlay = (a: Underlay | undefined, b: Underlay | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
