import { hostData, type NftData } from "./nft-data.ts";
import type { NftExpression, NftVerdict } from "./nft-expression.ts";

/**
 * Objects of nf_tables (linux/netfilter/nf_tables.h), as wanted and as read. Fields marked "read only" come from the
 * kernel and are ignored when an object is sent. A name is unique within its table, a table's within its family.
 */
export const nftFamilies = ["inet", "ip", "ip6", "arp", "bridge", "netdev"] as const;
export type NftFamily = (typeof nftFamilies)[number];

export interface NftTable {
  readonly family: NftFamily;
  readonly name: string;
  /** NFT_TABLE_F_OWNER (5.12): only the socket that created the table may change it, and the table dies with it. */
  readonly owner?: boolean;
  /** NFT_TABLE_F_PERSIST (6.9): with `owner`, the table outlives the socket and the next one may take it over. */
  readonly persist?: boolean;
  /** The table's chains are off the hooks. */
  readonly dormant?: boolean;
  readonly comment?: string;
  /** Read only. */
  readonly handle?: number;
  /** Read only: netlink port of the owning socket. */
  readonly ownerPort?: number;
}

export type NftHook = "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress" | "egress";
export type NftChainType = "filter" | "nat" | "route";

export interface NftBase {
  readonly type: NftChainType;
  readonly hook: NftHook;
  /** Lower runs first. Signed 32 bits. */
  readonly priority: number;
  readonly policy: "accept" | "drop";
  /** netdev family, and inet ingress. */
  readonly devices?: readonly string[];
}

export interface NftChain {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
  /** Where the chain hangs on a hook; absent for chains that are only jumped to. */
  readonly base?: NftBase;
  readonly comment?: string;
  /** Read only. */
  readonly handle?: number;
}

export interface NftRule {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  readonly expressions: readonly NftExpression[];
  /** Shown by `nft list`. */
  readonly comment?: string;
  /** Content key that Twill keeps in the rule's user data, where `nft list` does not show it: 1 to 64 ASCII characters. */
  readonly key?: string;
  /** Read only: how a rule is named to delete it or to put another before or behind it. */
  readonly handle?: number;
}

/** One field of a key or the data of a map, by nft's names: what `nft list` prints it as. */
export type NftType =
  | "integer"
  | "ipv4_addr"
  | "ipv6_addr"
  | "ether_addr"
  | "inet_proto"
  | "inet_service"
  | "mark"
  | "iface_index"
  | "ifname"
  | "ct_label"
  | "nf_proto";

export interface NftSet {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
  /** More than one: a concatenation, each field padded to 4 bytes. Empty when another program's types are unknown to us. */
  readonly key: readonly NftType[];
  /** Bytes of the key with padding. */
  readonly keyLength: number;
  /** A map's data. Verdict maps: "verdict". Absent: a set. Maps to stateful objects: "object". */
  readonly data?: NftMapData;
  /** Ranges as keys. With one field, elements come as pairs (see intervalElements); with several, as key and keyEnd. */
  readonly interval?: boolean;
  /** No element may be changed once a rule refers to the set. */
  readonly constant?: boolean;
  /** Elements may carry a timeout. */
  readonly timeout?: boolean;
  /** Milliseconds, for elements without their own. */
  readonly defaultTimeout?: number;
  /** Rules add elements (dynset). */
  readonly dynamic?: boolean;
  readonly anonymous?: boolean;
  /** Most elements that the set takes; one more is ENFILE. Declared, an exact set is loaded 3 times as fast: the kernel sizes the hash once. */
  readonly size?: number;
  /** Each element counts packets and bytes. */
  readonly counter?: boolean;
  readonly comment?: string;
  /** Read only. */
  readonly handle?: number;
}

export type NftMapData =
  | { readonly type: NftType; readonly length: number }
  /** Several values in adjacent registers, each padded to 4 bytes. */
  | { readonly type: "concatenation"; readonly fields: readonly NftType[]; readonly length: number }
  | { readonly type: "verdict" }
  | { readonly type: "object"; readonly object: number }
  | { readonly type: "unknown"; readonly number: number; readonly length: number };

export interface NftElement {
  /** "" for the catch-all element, which matches what no other does (5.13). */
  readonly key: NftData | "";
  /** Last key of a range, in concatenated interval sets. */
  readonly keyEnd?: NftData;
  /** In interval sets of one field: the range that began below ends before this key. */
  readonly intervalEnd?: boolean;
  readonly data?: NftData | NftVerdict;
  /** Name of the stateful object that a map to objects gives. */
  readonly object?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly comment?: string;
  /** Read only: milliseconds left. */
  readonly expires?: number;
  /** Read only: of sets with `counter`. */
  readonly packets?: bigint;
  readonly bytes?: bigint;
}

export interface NftSetName {
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
}

/** A table with all that is in it. Rules stand in their order within each chain. */
export interface NftTableContent {
  readonly table: NftTable;
  readonly chains: readonly NftChain[];
  readonly rules: readonly NftRule[];
  readonly sets: readonly NftSetContent[];
}

export interface NftSetContent {
  readonly set: NftSet;
  readonly elements: readonly NftElement[];
  /** Absent: every change of its elements takes a new epoch. */
  readonly role?: NftSetRole;
}

/**
 * How whoever applies a table keeps packets from seeing half of a change: the kernel takes one lookup from before it and the next from
 * behind it.
 *
 * "epoch": a map of one number (`epochElements`), another with every such change. The table's rules take it first and look at the end whether
 * it still is.
 * "rows": its elements stand each for itself, so what only adds, or only removes, takes no new epoch.
 * "apart": the rules that ask for the epoch do not ask for it.
 */
export type NftSetRole = "epoch" | "rows" | "apart";

/** Key, of 32 bits, under which an epoch is found; the epoch is a key itself, and never this one nor 0. */
export const epochKey = hostData(0xffff_ffff);
export const epochElements = (epoch: number): readonly NftElement[] => [
  { key: epochKey, data: hostData(epoch) },
  { key: hostData(epoch), data: hostData(0) },
];

/** Identity of an element within its set. */
export const elementKey = (element: NftElement): string =>
  element.intervalEnd === true
    ? `${element.key}]`
    : element.keyEnd === undefined
      ? element.key
      : `${element.key}-${element.keyEnd}`;
