import type { Address } from "../../base/address.ts";
import { neighbourDiscovery, protocols } from "../../model/policy.ts";

/** The first packet of a connection, as policy sees it: behind destination NAT, before source NAT. */
export interface Flow {
  readonly source: Address;
  readonly destination: Address;
  /** IANA number. */
  readonly protocol: number;
  /** Destination port; for ICMP and ICMPv6 type × 256 + code; 0 where the protocol has neither. */
  readonly port: number;
  /** Where ports are. Absent: any, so a rule that asks for it is not certain to match. */
  readonly sourcePort?: number;
}

/** By which hook of the judging node the packet passes: from its own processes, to them, or through it. */
export type Hook = "output" | "input" | "forward";

/** What passes whatever policy says (docs/design/policy.md, "Evaluation"). */
export type Exempt = "itself" | "own-node" | "neighbour-discovery";

export function isNeighbourDiscovery({ protocol, port }: Pick<Flow, "protocol" | "port">): boolean {
  return protocol === protocols.icmpv6 && neighbourDiscovery.includes(port >> 8);
}
