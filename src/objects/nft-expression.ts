import type { NftData } from "./nft-data.ts";

/**
 * The steps of an nf_tables rule. Each reads or writes registers, or ends the rule when it does not match. A register is
 * given as the index, 0 to 15, of its first 32-bit word in the 64-byte register file (NFT_REG32_00 + index); the kernel's
 * older numbering of four 16-byte registers overlaps: NFT_REG_1 is word 0, NFT_REG_2 word 4.
 */
export type NftRegister = number;

export type NftVerdict =
  | { readonly verdict: "accept" | "drop" | "continue" | "break" | "return" }
  | { readonly verdict: "jump" | "goto"; readonly chain: string };

export const metaKeys = [
  "len",
  "protocol",
  "priority",
  "mark",
  "iif",
  "oif",
  "iifname",
  "oifname",
  "iiftype",
  "oiftype",
  "skuid",
  "skgid",
  "nftrace",
  "rtclassid",
  "secmark",
  "nfproto",
  "l4proto",
  "ibrname",
  "obrname",
  "pkttype",
  "cpu",
  "iifgroup",
  "oifgroup",
  "cgroup",
  "random",
  "ipsec",
  "iifkind",
  "oifkind",
] as const;
/** enum nft_meta_keys, in its order, by nft's names. */
export type NftMetaKey = (typeof metaKeys)[number];

export const ctKeys = [
  "state",
  "direction",
  "status",
  "mark",
  "secmark",
  "expiration",
  "helper",
  "l3proto",
  "saddr",
  "daddr",
  "protocol",
  "proto-src",
  "proto-dst",
  "label",
  "packets",
  "bytes",
  "avgpkt",
  "zone",
  "event",
  "ip-saddr",
  "ip-daddr",
  "ip6-saddr",
  "ip6-daddr",
  "id",
] as const;
/** enum nft_ct_keys, in its order. */
export type NftCtKey = (typeof ctKeys)[number];

/** Bits of `ct state` (NF_CT_STATE_BIT), host order when compared. */
export const ctState = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** Bits of `ct status` (enum ip_conntrack_status). */
export const ctStatus = {
  expected: 1,
  seenReply: 2,
  assured: 4,
  confirmed: 8,
  snat: 16,
  dnat: 32,
  dying: 512,
} as const;

export const natFlags = ["random", "persistent", "fully-random", "port-offset", "netmap"] as const;
export type NftNatFlag = (typeof natFlags)[number];

export const payloadBases = ["link", "network", "transport", "inner"] as const;
export const comparisons = ["eq", "neq", "lt", "lte", "gt", "gte"] as const;
export const fibResults = ["none", "oif", "oifname", "type"] as const;
export const fibFlags = ["saddr", "daddr", "mark", "iif", "oif", "present"] as const;
export const logLevels = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"] as const;
export const socketKeys = ["transparent", "mark", "wildcard", "cgroupv2"] as const;

export type NftExpression =
  | {
      readonly type: "payload";
      readonly base: (typeof payloadBases)[number];
      readonly offset: number;
      readonly length: number;
      readonly to: NftRegister;
    }
  | {
      readonly type: "payload.set";
      readonly base: (typeof payloadBases)[number];
      readonly offset: number;
      readonly length: number;
      readonly from: NftRegister;
      /** NFT_PAYLOAD_CSUM_*: which checksum the change must be worked into. */
      readonly checksum: "none" | "inet" | "sctp";
      readonly checksumOffset?: number;
      readonly pseudoHeader?: boolean;
    }
  | { readonly type: "meta"; readonly key: NftMetaKey; readonly to: NftRegister }
  | { readonly type: "meta.set"; readonly key: NftMetaKey; readonly from: NftRegister }
  | {
      readonly type: "ct";
      readonly key: NftCtKey;
      readonly to: NftRegister;
      readonly direction?: "original" | "reply";
    }
  | {
      readonly type: "ct.set";
      readonly key: NftCtKey;
      readonly from: NftRegister;
      readonly direction?: "original" | "reply";
    }
  | {
      readonly type: "cmp";
      readonly from: NftRegister;
      readonly op: (typeof comparisons)[number];
      readonly value: NftData;
    }
  | {
      readonly type: "range";
      readonly from: NftRegister;
      readonly op: "eq" | "neq";
      readonly first: NftData;
      readonly last: NftData;
    }
  /** (from & mask) ^ xor. */
  | {
      readonly type: "bitwise";
      readonly from: NftRegister;
      readonly to: NftRegister;
      readonly length: number;
      readonly mask: NftData;
      readonly xor: NftData;
    }
  | {
      readonly type: "shift";
      readonly from: NftRegister;
      readonly to: NftRegister;
      readonly length: number;
      readonly direction: "left" | "right";
      /** u32 in host order. */
      readonly bits: NftData;
    }
  | {
      readonly type: "byteorder";
      readonly from: NftRegister;
      readonly to: NftRegister;
      readonly op: "ntoh" | "hton";
      readonly length: number;
      readonly size: 2 | 4 | 8;
    }
  /** Without `to`: does the set hold the key. With a register: the map's data. With "verdict": the verdict map decides. */
  | {
      readonly type: "lookup";
      readonly set: string;
      readonly from: NftRegister;
      readonly to?: NftRegister | "verdict";
      readonly invert?: boolean;
    }
  | { readonly type: "immediate"; readonly to: NftRegister; readonly value: NftData }
  | { readonly type: "verdict"; readonly verdict: NftVerdict }
  /** Packets and bytes are read only. */
  | { readonly type: "counter"; readonly packets?: bigint; readonly bytes?: bigint }
  | {
      readonly type: "nat";
      readonly kind: "snat" | "dnat";
      readonly family: 4 | 6;
      readonly address?: NftRegister;
      readonly addressEnd?: NftRegister;
      readonly port?: NftRegister;
      readonly portEnd?: NftRegister;
      readonly flags?: readonly NftNatFlag[];
    }
  | {
      readonly type: "masquerade" | "redirect";
      readonly port?: NftRegister;
      readonly portEnd?: NftRegister;
      readonly flags?: readonly NftNatFlag[];
    }
  /** icmp: ICMP or ICMPv6 unreachable by `code` of that family; icmpx: NFT_REJECT_ICMPX_*, for both families. */
  | { readonly type: "reject"; readonly kind: "icmp" | "tcp-reset" | "icmpx"; readonly code?: number }
  | {
      readonly type: "log";
      /** nflog group. Absent: the kernel's own log, at `level`. */
      readonly group?: number;
      readonly prefix?: string;
      /** Bytes of the packet that the listener gets. */
      readonly snaplen?: number;
      /** Packets gathered before the listener is woken. */
      readonly threshold?: number;
      readonly level?: (typeof logLevels)[number];
      readonly flags?: number;
    }
  | {
      readonly type: "limit";
      readonly rate: number;
      /** The rate's unit in seconds: 1, 60, 3600… */
      readonly unit: number;
      readonly burst: number;
      readonly of: "packets" | "bytes";
      /** Match what is over the limit. */
      readonly invert?: boolean;
    }
  | {
      readonly type: "fib";
      readonly to: NftRegister;
      readonly result: (typeof fibResults)[number];
      readonly flags: readonly (typeof fibFlags)[number][];
    }
  | { readonly type: "notrack" }
  | {
      readonly type: "dynset";
      readonly set: string;
      readonly op: "add" | "update" | "delete";
      readonly key: NftRegister;
      readonly data?: NftRegister;
      /** Milliseconds. */
      readonly timeout?: number;
      /** Match when the element could not be added. */
      readonly invert?: boolean;
      /** Made for each new element: a limit, a counter. */
      readonly expressions?: readonly NftExpression[];
    }
  /** A named stateful object; `object` is NFT_OBJECT_* (counter 1, quota 2, …). */
  | { readonly type: "object"; readonly object: number; readonly name: string }
  | { readonly type: "object.map"; readonly set: string; readonly from: NftRegister }
  | {
      readonly type: "socket";
      readonly key: (typeof socketKeys)[number];
      readonly to: NftRegister;
      readonly level?: number;
    }
  | {
      readonly type: "numgen";
      readonly to: NftRegister;
      readonly modulus: number;
      readonly kind: "incremental" | "random";
      readonly offset?: number;
    }
  | {
      readonly type: "jhash";
      readonly from: NftRegister;
      readonly to: NftRegister;
      readonly length: number;
      readonly modulus: number;
      readonly seed?: number;
      readonly offset?: number;
    }
  /** Not known to Twill, or with attributes that it does not know: kept so that any table can be read. */
  | { readonly type: "raw"; readonly name: string; readonly data: string };

export type NftExpressionOf<T extends NftExpression["type"]> = Extract<NftExpression, { readonly type: T }>;
