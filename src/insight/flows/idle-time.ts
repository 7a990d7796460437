import { type Connection, connectionStatus } from "../../objects/conntrack.ts";

/** Seconds that the kernel remembers a connection without packets, by the end of its sysctl's name: net.netfilter.nf_conntrack_tcp_timeout_time_wait. */
export type ConntrackTimeouts = ReadonlyMap<string, number>;

/** enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h), in words of the sysctls. */
const tcpStates: readonly (string | undefined)[] = [
  undefined,
  "syn_sent",
  "syn_recv",
  "established",
  "fin_wait",
  "close_wait",
  "last_ack",
  "time_wait",
  "close",
];
/** enum sctp_conntrack (linux/netfilter/nf_conntrack_sctp.h). */
const sctpStates: readonly (string | undefined)[] = [
  undefined,
  "closed",
  "cookie_wait",
  "cookie_echoed",
  "established",
  "shutdown_sent",
  "shutdown_recd",
  "shutdown_ack_sent",
  "heartbeat_sent",
];

export const timeoutNames: readonly string[] = [
  ...tcpStates.flatMap((state) => (state === undefined ? [] : [`tcp_timeout_${state}`])),
  ...sctpStates.flatMap((state) => (state === undefined ? [] : [`sctp_timeout_${state}`])),
  "udp_timeout",
  "udp_timeout_stream",
  "icmp_timeout",
  "icmpv6_timeout",
  "generic_timeout",
];

/** For how many seconds no packet had passed when the connection ended. The kernel ends it when its timeout is over, so its end alone would tell a wrong duration. */
export function idleSeconds(connection: Connection, timeouts: ConntrackTimeouts): number {
  const whole = timeouts.get(timeoutName(connection)) ?? 0;
  // Somebody deleted it before: then there was time left.
  return Math.max(0, whole - (connection.timeout ?? 0));
}

function timeoutName({ original: { protocol }, state = 0, status }: Connection): string {
  switch (protocol) {
    case 6:
      return `tcp_timeout_${tcpStates[state] ?? "close"}`;
    case 132:
      return `sctp_timeout_${sctpStates[state] ?? "closed"}`;
    case 17:
    case 136:
      return (status & connectionStatus.assured) === 0 ? "udp_timeout" : "udp_timeout_stream";
    case 1:
      return "icmp_timeout";
    case 58:
      return "icmpv6_timeout";
    default:
      return "generic_timeout";
  }
}
