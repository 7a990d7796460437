import { createHash } from "node:crypto";
import { type Address, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { localMac } from "../../base/mac.ts";
import type { InterfaceAddress } from "../../base/prefix.ts";
import type { Link } from "../../objects/link.ts";
import { type DeviceAddress, TWILL_POD_ROUTE_PROTOCOL } from "../../objects/route.ts";
import type { Namespace } from "../attach-kernel.ts";
import type { AttachPlan } from "../attachment.ts";
import { establish, type Fact, failing, hasAddress, hasMtu, hasSysctl, isUp, readDevice } from "../device-facts.ts";
import { twillAlias } from "../host-device.ts";

/** The node's bridge as the pods on it need it: their gateways are its addresses. */
export interface BridgeWanted {
  readonly name: string;
  readonly gateways: readonly InterfaceAddress[];
  /** Explicit, else the kernel lets it follow the smallest port. */
  readonly mtu: number;
}

/** Link-local source of the node's neighbour solicitations on the bridge. */
const linkLocal = "fe80::1" as Address;

/** The gateways of a pod with the mask of the pod's address: what the bridge must have. */
export function bridgeAddresses(plan: AttachPlan): InterfaceAddress[] {
  return plan.gateways.flatMap((address) => {
    const sibling = plan.addresses.find((own) => familyOf(own.address) === familyOf(address));
    return sibling === undefined ? [] : [{ address, length: sibling.length }];
  });
}

/** Makes the bridge, or mends the one there is. @returns it, and what was wrong. */
export function ensureBridge(
  node: Namespace,
  wanted: BridgeWanted,
): { readonly link: Link; readonly mended: string[] } {
  const mended: string[] = [];
  if (node.rtnl.link(wanted.name) === undefined) {
    createBridge(node, wanted);
    mended.push(`there was no bridge ${wanted.name}`);
  }
  const link = requireBridge(node, wanted.name);
  adopt(node, link);
  const facts = failing(bridgeFacts(link, wanted), readDevice(node, link, TWILL_POD_ROUTE_PROTOCOL));
  establish(node, facts);
  mended.push(...facts.map(({ complaint }) => complaint));
  return { link, mended };
}

function createBridge(node: Namespace, { name, gateways, mtu }: BridgeWanted): void {
  // A given MAC stays: otherwise the bridge takes the lowest of its ports' and changes it as pods come and go.
  const seed = createHash("sha256").update(`${name}\0${gateways.map(({ address }) => address).join()}`);
  const mac = localMac(seed.digest().subarray(0, 6));
  node.rtnl.do({ op: "link.add", spec: { name, kind: { type: "bridge" }, mac, mtu } });
}

/** A bridge that Flannel left keeps its MAC, for its pods know it; set once by us, it no longer follows the ports. */
function adopt(node: Namespace, link: Link): void {
  if (link.alias === twillAlias) return;
  const mac = link.mac === undefined ? {} : { mac: link.mac };
  const change = { ...mac, alias: twillAlias, addressGeneration: "none" } as const;
  node.rtnl.do({ op: "link.set", index: link.index, change });
}

function requireBridge(node: Namespace, name: string): Link {
  const link = node.rtnl.link(name);
  if (link?.kind.type === "bridge") return link;
  throw new TwillError("conflict", `${name} is no bridge`, {
    operation: "prepare bridge",
    object: name,
    remedy: `rename or remove the device ${name}, or give the bridge another name in the CNI configuration`,
  });
}

function bridgeFacts(link: Link, { gateways, mtu }: BridgeWanted): Fact[] {
  const ipv6 = gateways.some(({ address }) => familyOf(address) === 6);
  const variable = (family: string, name: string) => [family, "conf", link.name, name];
  const linkLocalAddress: DeviceAddress = {
    device: link.index,
    address: linkLocal,
    length: 64,
    scope: "link",
    noDad: true,
  };
  return [
    hasSysctl(variable("ipv4", "forwarding"), "1"),
    hasSysctl(variable("ipv4", "rp_filter"), "1"),
    ...(ipv6 ? [hasSysctl(variable("ipv6", "disable_ipv6"), "0"), hasSysctl(variable("ipv6", "accept_ra"), "0")] : []),
    hasMtu(link, mtu),
    isUp(link),
    ...(ipv6 ? [hasAddress(link, linkLocalAddress)] : []),
    ...gateways.map(({ address, length }) => hasAddress(link, gatewayAddress(link, address, length))),
  ];
}

function gatewayAddress(link: Link, address: Address, length: number): DeviceAddress {
  const base: DeviceAddress = { device: link.index, address, length, scope: "universe" };
  return familyOf(address) === 6 ? { ...base, noDad: true } : base;
}

/** Takes gateways of earlier subnets away, which would draw traffic for their new owners. @returns what was removed. */
export function removeOtherGateways(node: Namespace, link: Link, wanted: readonly InterfaceAddress[]): string[] {
  const stale = node.rtnl
    .addresses({ device: link.index })
    .filter(({ address, scope }) => scope === "universe" && !wanted.some((gateway) => gateway.address === address));
  for (const address of stale) node.rtnl.do({ op: "address.delete", address });
  return stale.map(({ address, length }) => `${link.name} had the address ${address}/${length} of no pod's subnet`);
}
