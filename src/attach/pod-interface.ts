import { type Address, addressFromBytes, type Family, familyOf } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { type Mac, macBytes } from "../base/mac.ts";
import { formatInterfaceAddress, type InterfaceAddress } from "../base/prefix.ts";
import type { RtnlOperation } from "../kernel/rtnl.ts";
import type { Link } from "../objects/link.ts";
import { type DeviceAddress, mainTable } from "../objects/route.ts";
import { applyAll, type Namespace } from "./attach-kernel.ts";
import type { PodRoute } from "./attachment.ts";
import { podRoutes } from "./pod-routes.ts";

/** The pod's side, the same for every attachment: addresses, neighbours, routes, `lo`. */
export interface PodInterface {
  readonly ifname: string;
  readonly addresses: readonly InterfaceAddress[];
  readonly mac: Mac;
  readonly mtu: number;
  /** Next hops that answer no ARP or ND, with their Ethernet address. */
  readonly neighbours: readonly { readonly address: Address; readonly mac: Mac }[];
  /** Gateways filled in; without one: on-link. In the order in which they can be added. */
  readonly routes: readonly PodRoute[];
  /** Tell the segment (gratuitous ARP, unsolicited ND) that the addresses are here now: on shared segments. */
  readonly announce: boolean;
}

/** The loopback device has index 1 in every namespace (include/net/net_namespace.h: LOOPBACK_IFINDEX). */
const loopback = 1;

/** @throws TwillError `exists`: CNI forbids to take over an interface. */
export function requireFreeName(pod: Namespace, ifname: string): void {
  if (pod.rtnl.link(ifname) === undefined) return;
  throw new TwillError("exists", `the pod has an interface ${ifname} already`, {
    operation: "attach",
    object: ifname,
    remedy: "delete the earlier attachment first, or choose another CNI_IFNAME",
  });
}

/**
 * IPv6 addresses go in without duplicate address detection, so that the first packet leaves at once. The link-local address
 * is ours too: the kernel's own would be tentative for up to two seconds (RFC 4862 section 5.4), and no neighbour
 * solicitation leaves meanwhile.
 */
export function configurePod(pod: Namespace, link: Link, wanted: PodInterface): void {
  const families = new Set(wanted.addresses.map(({ address }) => familyOf(address)));
  const operations: RtnlOperation[] = [{ op: "link.set", index: loopback, change: { up: true } }];
  if (families.has(6)) {
    enableIpv6(pod, wanted.ifname);
    operations.push({ op: "link.set", index: link.index, change: { addressGeneration: "none" } });
  }
  if (wanted.announce) announceChanges(pod, wanted.ifname, families);
  // IPv4 before `up`: arp_notify announces the addresses that are there at that moment.
  for (const address of podAddresses(link.index, wanted, 4)) operations.push({ op: "address.add", address });
  operations.push({ op: "link.set", index: link.index, change: { up: true } });
  for (const address of podAddresses(link.index, wanted, 6)) operations.push({ op: "address.add", address });
  for (const { address, mac } of wanted.neighbours)
    operations.push({
      op: "neighbour.replace",
      neighbour: { device: link.index, address, mac, state: "permanent" },
    });
  for (const route of podRoutes(pod, link, wanted.routes)) operations.push({ op: "route.add", route });
  applyAll(pod.rtnl, operations);
  awaitDelivery(pod, wanted.addresses);
}

/**
 * The kernel inserts the local route of an IPv6 address from a work queue, also when there is no duplicate address detection
 * (addrconf_dad_work, net/ipv6/addrconf.c); until then packets to it go astray. Usually it is done before we look.
 */
function awaitDelivery(pod: Namespace, addresses: readonly InterfaceAddress[]): void {
  for (const { address } of addresses) {
    if (familyOf(address) === 4) continue;
    // It takes microseconds or, on a busy machine, its turn.
    for (let attempt = 0; attempt < 100 && pod.rtnl.routeTo(address).type !== "local"; attempt++) {
      if (attempt > 20) Bun.sleepSync(1);
    }
  }
}

/** Distributions and runtimes switch IPv6 off for new interfaces; router advertisements of other pods must not count (CVE-2020-10749). */
function enableIpv6(pod: Namespace, ifname: string): void {
  for (const device of ["lo", ifname]) {
    const name = ["ipv6", "conf", device, "disable_ipv6"];
    if (pod.sysctls.tryRead(name) === "1") pod.sysctls.write(name, "0");
  }
  pod.sysctls.write(["ipv6", "conf", ifname, "accept_ra"], "0");
}

function announceChanges(pod: Namespace, ifname: string, families: ReadonlySet<Family>): void {
  if (families.has(4)) pod.sysctls.write(["ipv4", "conf", ifname, "arp_notify"], "1");
  if (families.has(6)) pod.sysctls.write(["ipv6", "conf", ifname, "ndisc_notify"], "1");
}

function podAddresses(device: number, wanted: PodInterface, family: Family): DeviceAddress[] {
  const own = wanted.addresses.filter(({ address }) => familyOf(address) === family);
  if (own.length === 0) return [];
  const all = own.map(({ address, length }): DeviceAddress => {
    const base: DeviceAddress = { device, address, length, scope: "universe" };
    return family === 6 ? { ...base, noDad: true } : base;
  });
  if (family === 4) return all;
  return [{ device, address: linkLocalOf(wanted.mac), length: 64, scope: "link", noDad: true }, ...all];
}

/** fe80::/64 with the modified EUI-64 of the MAC (RFC 4291 appendix A). */
export function linkLocalOf(mac: Mac): Address {
  const bytes = macBytes(mac);
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address.set([(bytes[0] ?? 0) ^ 0x02, bytes[1] ?? 0, bytes[2] ?? 0, 0xff, 0xfe], 8);
  address.set(bytes.subarray(3), 13);
  return addressFromBytes(address);
}

/** What differs from `wanted`, each a sentence. What others added is none of our business. */
export function checkPod(pod: Namespace, wanted: PodInterface): string[] {
  const { ifname } = wanted;
  const link = pod.rtnl.link(ifname);
  if (link === undefined) return [`the pod has no interface ${ifname}`];
  const wrong: string[] = [];
  if (!link.up) wrong.push(`${ifname} is down`);
  if (link.mac !== wanted.mac) wrong.push(`${ifname} has the MAC ${link.mac ?? "none"}, not ${wanted.mac}`);
  if (link.mtu !== wanted.mtu) wrong.push(`${ifname} has the MTU ${link.mtu}, not ${wanted.mtu}`);
  if (pod.rtnl.link(loopback)?.up !== true) wrong.push("lo is down");
  const addresses = pod.rtnl.addresses({ device: link.index });
  for (const { address, length } of wanted.addresses) {
    const found = addresses.find((candidate) => candidate.address === address);
    if (found === undefined) wrong.push(`${ifname} lacks the address ${formatInterfaceAddress({ address, length })}`);
    else if (found.length !== length) wrong.push(`${ifname} has ${address}/${found.length}, not /${length}`);
    else if (found.dadFailed === true)
      wrong.push(`${address} is in use by another machine (duplicate address detection)`);
  }
  const neighbours = wanted.neighbours.length === 0 ? [] : pod.rtnl.neighbours({ device: link.index });
  for (const { address, mac } of wanted.neighbours) {
    const found = neighbours.find((candidate) => candidate.address === address);
    if (found?.mac !== mac) wrong.push(`${ifname} does not know the next hop ${address} as ${mac}`);
  }
  const routes = pod.rtnl.routes({ device: link.index, table: mainTable });
  for (const { destination, gateway } of wanted.routes) {
    if (routes.some((route) => route.destination === destination && route.gateway === gateway)) continue;
    wrong.push(`the route to ${destination}${gateway === undefined ? "" : ` via ${gateway}`} is missing`);
  }
  return wrong;
}
