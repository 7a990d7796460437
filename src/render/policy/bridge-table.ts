import { type Address, familyOf } from "../../base/address.ts";
import { type Mac, macBytes } from "../../base/mac.ts";
import type { NftChain, NftElement, NftRule, NftSet, NftTableContent } from "../../objects/nft.ts";
import { addressData, concatenated, dataOf, interfaceData, portData } from "../../objects/nft-data.ts";
import type { NftExpression, NftRegister } from "../../objects/nft-expression.ts";
import { accept, go, onInterface } from "./registers.ts";

/** A pod on the node's bridge. */
export interface BridgePod {
  /** The bridge's port: the node's end of the pod's veth. */
  readonly port: string;
  readonly mac: Mac;
  readonly addresses: readonly Address[];
}

export const bridgeTableName = { family: "bridge", table: "twill" } as const;

/** NF_BR_PRI_NAT_DST_BRIDGED (linux/netfilter_bridge.h): before br_netfilter hands the packet to the IP hooks. */
const priority = -300;
const etherTypes = { ip: 0x0800, arp: 0x0806, ip6: 0x86dd } as const;

/** Registers: 4 words of interface name, 2 of MAC, then the address. */
const portRegister: NftRegister = 0;
const macRegister: NftRegister = 4;
const addressRegister: NftRegister = 6;

const frame = (base: "link" | "network", offset: number, length: number, to: NftRegister): NftExpression => ({
  type: "payload",
  base,
  offset,
  length,
  to,
});
const port: NftExpression = { type: "meta", key: "iifname", to: portRegister };
const senderMac = frame("link", 6, 6, macRegister);
const isType = (etherType: number): NftExpression[] => [
  { type: "meta", key: "protocol", to: 0 },
  { type: "cmp", from: 0, op: "eq", value: portData(etherType) },
];
const isIn = (set: string): NftExpression => ({ type: "lookup", set, from: portRegister });

const set = (name: string, key: NftSet["key"], keyLength: number, comment: string): NftSet => ({
  ...bridgeTableName,
  name,
  key,
  keyLength,
  comment,
});
const ports = set("ports", ["ifname", "ether_addr"], 24, "port, MAC of its pod");
const addresses4 = set("addresses4", ["ifname", "ether_addr", "ipv4_addr"], 28, "port, MAC and address of its pod");
const addresses6 = set("addresses6", ["ifname", "ether_addr", "ipv6_addr"], 40, "port, MAC and address of its pod");

const base: NftChain = {
  ...bridgeTableName,
  name: "spoofed",
  base: { type: "filter", hook: "prerouting", priority, policy: "accept" },
  comment: "frames of pods with others' addresses",
};
const fromPod: NftChain = { ...bridgeTableName, name: "from_pod" };

const rules: readonly (readonly [NftChain, string, ...NftExpression[]])[] = [
  [
    fromPod,
    "IPv4, its own",
    ...isType(etherTypes.ip),
    port,
    senderMac,
    frame("network", 12, 4, addressRegister),
    isIn(addresses4.name),
    accept,
  ],
  // RFC 826: sender hardware address at 8, sender protocol address at 14.
  [
    fromPod,
    "ARP, for its own address",
    ...isType(etherTypes.arp),
    port,
    frame("network", 8, 6, macRegister),
    frame("network", 14, 4, addressRegister),
    isIn(addresses4.name),
    accept,
  ],
  [
    fromPod,
    "ARP probe (RFC 5227 section 2.1.1)",
    ...isType(etherTypes.arp),
    frame("network", 14, 4, addressRegister),
    { type: "cmp", from: addressRegister, op: "eq", value: dataOf(new Uint8Array(4)) },
    port,
    frame("network", 8, 6, macRegister),
    isIn(ports.name),
    accept,
  ],
  [
    fromPod,
    "IPv6, its own",
    ...isType(etherTypes.ip6),
    port,
    senderMac,
    frame("network", 8, 16, addressRegister),
    isIn(addresses6.name),
    accept,
  ],
  [
    fromPod,
    "IPv6, unspecified: duplicate address detection",
    ...isType(etherTypes.ip6),
    frame("network", 8, 16, addressRegister),
    { type: "cmp", from: addressRegister, op: "eq", value: dataOf(new Uint8Array(16)) },
    port,
    senderMac,
    isIn(ports.name),
    accept,
  ],
  [
    fromPod,
    "IPv6, link-local: pods make these themselves",
    ...isType(etherTypes.ip6),
    frame("network", 8, 2, addressRegister),
    {
      type: "bitwise",
      from: addressRegister,
      to: addressRegister,
      length: 2,
      mask: dataOf(Uint8Array.of(0xff, 0xc0)),
      xor: dataOf(new Uint8Array(2)),
    },
    { type: "cmp", from: addressRegister, op: "eq", value: dataOf(Uint8Array.of(0xfe, 0x80)) },
    port,
    senderMac,
    isIn(ports.name),
    accept,
  ],
  [fromPod, "spoofed", { type: "counter" }, { type: "verdict", verdict: { verdict: "drop" } }],
];

/** The rows of these pods, by set. */
export function bridgeElements(
  pods: readonly BridgePod[],
): { readonly set: string; readonly elements: readonly NftElement[] }[] {
  const own = (pod: BridgePod) => [interfaceData(pod.port), dataOf(macBytes(pod.mac))] as const;
  const addressed = (family: 4 | 6): NftElement[] =>
    pods.flatMap((pod) =>
      pod.addresses
        .filter((address) => familyOf(address) === family)
        .map((address) => ({ key: concatenated(...own(pod), addressData(address)) })),
    );
  return [
    { set: ports.name, elements: pods.map((pod) => ({ key: concatenated(...own(pod)) })) },
    { set: addresses4.name, elements: addressed(4) },
    { set: addresses6.name, elements: addressed(6) },
  ];
}

/**
 * Anti-spoofing where pods share a bridge: by port, MAC and address together, for IP and ARP alike. In table `bridge twill`, for a packet
 * between two ports of a bridge has no routing to be checked by.
 * @param podInterfaces how names of the ports of our pods begin. A port that no pod names may send nothing.
 */
export function bridgeTable(pods: readonly BridgePod[], podInterfaces: string): NftTableContent {
  const elements = new Map(bridgeElements(pods).map((each) => [each.set, each.elements]));
  return {
    table: { family: bridgeTableName.family, name: bridgeTableName.table },
    chains: [base, fromPod],
    rules: [
      {
        ...bridgeTableName,
        chain: base.name,
        comment: "from a pod",
        expressions: [...onInterface("iifname", podInterfaces), go("goto", fromPod.name)],
      },
      ...rules.map(
        ([chain, comment, ...expressions]): NftRule => ({
          ...bridgeTableName,
          chain: chain.name,
          comment,
          expressions,
        }),
      ),
    ],
    sets: [ports, addresses4, addresses6].map((each) => ({ set: each, elements: elements.get(each.name) ?? [] })),
  };
}
