import type { Address, Family } from "../../src/base/address.ts";

/** Somebody who can send and answer. */
export interface Endpoint {
  /** "node1/pod-a", "node1", "outside". */
  readonly name: string;
  readonly kind: "pod" | "node" | "outside";
  /** Where it is: the node's name; "outside" for the outside. */
  readonly node: string;
  /** The underlay subnet that its node is on. */
  readonly subnet: string;
  readonly addresses: Readonly<Partial<Record<Family, Address>>>;
}

/** `lo`: two processes inside one pod, over the loopback device. */
export type Relation = "lo" | "pod-pod" | "node-pod" | "pod-node" | "pod-outside";

export interface Pair {
  readonly relation: Relation;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly family: Family;
}

/** Refused is an answer, silence is not, and an ICMP error is a third thing: each has another cause. */
export type Verdict =
  | {
      readonly outcome: "connected";
      /** The address that the other side saw. Nobody looks at echo requests but the kernel, so there is none for ICMP. */
      readonly seen?: Address;
    }
  | { readonly outcome: "refused" }
  | { readonly outcome: "unreachable"; readonly reason: string }
  | {
      readonly outcome: "timed out";
      /** The packet arrived, from this address: the answer was lost, or went elsewhere. */
      readonly seen?: Address;
    }
  /** No answer, and none was to come: policy denies it. */
  | { readonly outcome: "denied"; readonly by: string };

export const protocols = ["tcp", "udp", "icmp"] as const;
export type Protocol = (typeof protocols)[number];

/** What the device counters showed: over what the packets left and came in. "lo" and "local" never touched the underlay. */
export type Path = string;

export interface PairResult extends Pair {
  readonly verdicts: Readonly<Record<Protocol, Verdict>>;
  /** At which the other side answered. */
  readonly ports?: { readonly tcp: number; readonly udp: number };
  /** Absent when nothing arrived. */
  readonly path?: Path;
  /** Median of the round trips of small datagrams, microseconds. */
  readonly rtt?: number;
  /** Largest packet, bytes with its IP header, that went there and came back unfragmented. */
  readonly mtu?: number;
  /** Why it does not work as it must; empty when it works. */
  readonly faults: readonly string[];
}

export const works = (result: PairResult): boolean => result.faults.length === 0;

/** The address that the other side saw: of the first protocol that arrived. */
export function sourceSeen(result: PairResult): Address | undefined {
  for (const protocol of protocols) {
    const verdict = result.verdicts[protocol];
    if ((verdict.outcome === "connected" || verdict.outcome === "timed out") && verdict.seen !== undefined)
      return verdict.seen;
  }
  return undefined;
}
