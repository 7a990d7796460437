import type { Address } from "../base/address.ts";

/** Connections as the kernel tracks them (linux/netfilter/nfnetlink_conntrack.h). */

/** What names a connection in one direction. */
export interface ConnectionTuple {
  readonly source: Address;
  readonly destination: Address;
  /** IP protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6, 132 SCTP. */
  readonly protocol: number;
  /** TCP, UDP, SCTP, DCCP, UDP-Lite. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** ICMP and ICMPv6. */
  readonly icmp?: { readonly id: number; readonly type: number; readonly code: number };
}

export interface Connection {
  /** As the first packet was. */
  readonly original: ConnectionTuple;
  /** As replies are: NAT shows in what differs from the original turned around. */
  readonly reply: ConnectionTuple;
  /** Bits of enum ip_conntrack_status; see connectionStatus. */
  readonly status: number;
  /** Seconds until it is forgotten. Absent in events of its end. */
  readonly timeout?: number;
  readonly mark?: number;
  /** 128 bits as four words in host order. Absent without labels. */
  readonly labels?: readonly number[];
  /** Conntrack zone; 0 unless a rule chose another. */
  readonly zone?: number;
  /** Only with net.netfilter.nf_conntrack_acct. */
  readonly counters?: { readonly original: ConnectionCounters; readonly reply: ConnectionCounters };
  /** Nanoseconds since 1970, only with net.netfilter.nf_conntrack_timestamp. */
  readonly start?: bigint;
  readonly stop?: bigint;
  /** TCP's state, enum tcp_conntrack, or SCTP's, enum sctp_conntrack. */
  readonly state?: number;
  /** Tells connections of the same tuple apart. */
  readonly id?: number;
  /** AF_INET or AF_INET6 connections of the same node. */
  readonly family: 4 | 6;
}

export interface ConnectionCounters {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** enum ip_conntrack_status, linux/netfilter/nf_conntrack_common.h. */
export const connectionStatus = {
  expected: 0x1,
  seenReply: 0x2,
  assured: 0x4,
  confirmed: 0x8,
  sourceNat: 0x10,
  destinationNat: 0x20,
  dying: 0x200,
  offloaded: 0x4000,
} as const;

/** An end tells neither label nor mark. */
export interface ConnectionEvent {
  readonly type: "new" | "update" | "destroy";
  readonly connection: Connection;
}
