/** A packet as a rule with a log statement for a group hands it over (linux/netfilter/nfnetlink_log.h). */
export interface LoggedPacket {
  /** To which it was sent: `log group N`. */
  readonly group: number;
  /** Family of the hook that the rule hangs in: 4, 6; absent for bridge and netdev. */
  readonly family?: 4 | 6;
  /** enum nf_inet_hooks: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting. */
  readonly hook: number;
  /** EtherType. */
  readonly etherType: number;
  /** Packet mark; 0 when there is none. */
  readonly mark: number;
  /** Interface index; absent in output. */
  readonly inputDevice?: number;
  /** Interface index; absent in input. */
  readonly outputDevice?: number;
  /** When it came in by a device, microseconds since 1970, and only where somebody had packets stamped. */
  readonly time?: bigint;
  /** The rule's own text, where it has one. */
  readonly prefix?: string;
  /** Counts up with each packet of the group; a gap is what was lost. 32 bits, wraps. */
  readonly sequence?: number;
  /** From the network header on, cut to the copy range: a view on the datagram. */
  readonly payload: Uint8Array;
}
