import { familyOf } from "../../base/address.ts";
import { hostPrefix, type InterfaceAddress } from "../../base/prefix.ts";
import type { Link } from "../../objects/link.ts";
import { mainTable, TWILL_POD_ROUTE_PROTOCOL } from "../../objects/route.ts";
import { type Fact, hasAddress, hasMtu, hasRoute, hasSysctl, isUp } from "../device-facts.ts";
import { podGateway6 } from "./gateways.ts";

/** What must be so about the node's end of a routed pod, in the order in which it can be brought about. */
export const routedHostFacts = (link: Link, addresses: readonly InterfaceAddress[], mtu: number): Fact[] => [
  ...hostDeviceFacts(link, addresses, mtu),
  ...podRouteFacts(link, addresses),
];

export function hostDeviceFacts(link: Link, addresses: readonly InterfaceAddress[], mtu: number): Fact[] {
  const families = new Set(addresses.map(({ address }) => familyOf(address)));
  return [
    ...(families.has(4) ? ipv4Sysctls(link.name) : []),
    ...(families.has(6) ? ipv6Sysctls(link.name) : []),
    hasMtu(link, mtu),
    isUp(link),
    ...(families.has(6)
      ? [hasAddress(link, { device: link.index, address: podGateway6, length: 64, scope: "link", noDad: true })]
      : []),
  ];
}

export const podRouteFacts = (link: Link, addresses: readonly InterfaceAddress[]): Fact[] =>
  addresses.map(({ address }) =>
    hasRoute(link, {
      destination: hostPrefix(address),
      type: "unicast",
      table: mainTable,
      protocol: TWILL_POD_ROUTE_PROTOCOL,
      scope: familyOf(address) === 4 ? "link" : "universe",
      metric: 0,
      device: link.index,
    }),
  );

/** route_localnet is not among them: portmap sets it on the pod's device, so that 127.0.0.1:hostPort works. */
function ipv4Sysctls(device: string): Fact[] {
  const variable = (name: string) => ["ipv4", "conf", device, name];
  return [
    // Strict: a pod can send only from addresses that are routed to it (the kernel takes the maximum of this and `all`).
    hasSysctl(variable("rp_filter"), "1"),
    hasSysctl(variable("forwarding"), "1"),
  ];
}

function ipv6Sysctls(device: string): Fact[] {
  const variable = (name: string) => ["ipv6", "conf", device, name];
  return [
    hasSysctl(variable("disable_ipv6"), "0"),
    // A pod's router advertisement would otherwise become the node's default route (CVE-2020-10749).
    hasSysctl(variable("accept_ra"), "0"),
  ];
}
