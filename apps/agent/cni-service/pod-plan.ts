import type { AttachPlan, PodRoute } from "../../../src/attach/attachment.ts";
import { type Address, type Family, familyOf, widthOf } from "../../../src/base/address.ts";
import type { TwillError } from "../../../src/base/errors.ts";
import type { Mac } from "../../../src/base/mac.ts";
import {
  addressAt,
  contains,
  everything,
  type InterfaceAddress,
  lengthOf,
  prefixFamily,
} from "../../../src/base/prefix.ts";
import { CniError, cniCodes } from "../../../src/intent/cni/cni-error.ts";
import type { PluginConfig } from "../../../src/intent/cni/config.ts";
import type { AddressBook } from "../../../src/ipam/address-book.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import type { Books } from "./books.ts";
import { assignFromRanges } from "./choose-addresses.ts";
import type { CniContext } from "./context.ts";

export interface AssignedAddresses {
  readonly book: AddressBook;
  readonly addresses: readonly InterfaceAddress[];
  readonly gateways: readonly Address[];
}

/** From the node's subnets, or from the network's own ranges. @throws TwillError; then nothing is assigned. */
export function assignAddresses(
  books: Books,
  context: CniContext,
  key: AttachmentKey,
  config: PluginConfig,
  wishes: { readonly addresses: readonly Address[]; readonly mac: Mac | undefined },
): AssignedAddresses {
  if (config.ipam !== undefined) {
    const { rangeSets } = config.ipam;
    const subnets = [...new Set(rangeSets.flat().map(({ subnet }) => subnet))];
    const book = books.ofNetwork(config.name, subnets);
    const chosen = assignFromRanges(book, key, rangeSets, wishes.addresses, wishes.mac);
    return { book, addresses: chosen.map(({ address }) => address), gateways: distinctFamilies(chosen) };
  }
  const { subnets } = context;
  const families = [...new Set(subnets.map(prefixFamily))];
  const mac = wishes.mac === undefined ? {} : { mac: wishes.mac };
  const book = books.ofNode(subnets);
  const assignment = book.assign(key, { families, requested: wishes.addresses, ...mac });
  return {
    book,
    addresses: assignment.addresses.map((address) => ({ address, length: subnetLength(context, address) })),
    gateways: subnets.map((subnet) => addressAt(subnet, 1n)),
  };
}

const distinctFamilies = (chosen: readonly { readonly gateway: Address }[]): Address[] => [
  ...new Map(chosen.map(({ gateway }) => [familyOf(gateway), gateway])).values(),
];

const subnetLength = ({ subnets }: CniContext, address: Address): number => {
  const subnet = subnets.find((candidate) => contains(candidate, address));
  return subnet === undefined ? widthOf(familyOf(address)) : lengthOf(subnet);
};

/** @param defaultMtu where the configuration gives none, bytes. */
export function podPlan(
  key: AttachmentKey,
  config: PluginConfig,
  { addresses, gateways }: AssignedAddresses,
  mac: Mac | undefined,
  defaultMtu: number,
): AttachPlan {
  const routed = config.attachment.type === "routed";
  const families = [...new Set(addresses.map(({ address }) => familyOf(address)))];
  const mtu = config.mtu ?? defaultMtu;
  if (mtu < 1280 && families.includes(6)) throw tooSmallForIpv6(mtu);
  return {
    key,
    addresses: routed ? addresses.map(({ address }) => ({ address, length: widthOf(familyOf(address)) })) : addresses,
    gateways: routed ? [] : gateways.filter((gateway) => families.includes(familyOf(gateway))),
    routes: routesOf(config, families),
    mtu,
    ...(mac === undefined ? {} : { mac }),
  };
}

/** Written ones go before; the rest is what the pod needs to be on this network at all. */
function routesOf(config: PluginConfig, families: readonly Family[]): PodRoute[] {
  const { attachment, ipam, isDefaultGateway } = config;
  const written = (ipam?.routes ?? []).map(
    ({ dst, gw }): PodRoute => ({
      destination: dst,
      ...(gw === undefined ? {} : { gateway: gw }),
    }),
  );
  const yields = isDefaultGateway === undefined ? { yields: true as const } : {};
  const defaults = families.map((family): PodRoute => ({ destination: everything(family), ...yields }));
  // A routed pod's address has no subnet on the link, and the default route may be another network's.
  const subnets = attachment.type === "routed" ? (ipam?.rangeSets.flat() ?? []).map(({ subnet }) => subnet) : [];
  const implied = [
    ...(isDefaultGateway === false ? [] : defaults),
    ...[...new Set(subnets)].map((destination): PodRoute => ({ destination })),
  ];
  return [
    ...implied.filter((route) => !written.some(({ destination }) => destination === route.destination)),
    ...written,
  ];
}

const tooSmallForIpv6 = (mtu: number): TwillError =>
  new CniError(cniCodes.invalidConfiguration, `the MTU ${mtu} is too small for IPv6`, {
    remedy: "IPv6 needs 1280 (RFC 8200 section 5): raise the underlay's MTU, or use IPv4 only",
  });
