/** Everything that `twill doctor` can find. Scripts may rely on these names. */
export const findingIds = [
  "address-conflict",
  "agent-away",
  "agent-not-ready",
  "agent-problem",
  "br-netfilter",
  "checksum",
  "clock",
  "conntrack-full",
  "dns",
  "fdb",
  "firewall",
  "forwarding",
  "lease-stolen",
  "mtu",
  "neighbour",
  "neighbour-table-full",
  "network-overlap",
  "path",
  "pod-device",
  "probe-stopped",
  "route",
  "rp-filter",
  "tunnel",
  "version",
  "vtep-mac",
  "wrong-interface",
] as const;
export type FindingId = (typeof findingIds)[number];

/** A cause why pods cannot talk, with what shows it and what to do. Plain: it travels between agents. */
export interface Finding {
  readonly id: FindingId;
  /** "error": traffic is lost. "warning": some is, or will be. */
  readonly severity: "error" | "warning";
  /** Where it is to be mended. */
  readonly node: string;
  /** Who saw it, where that is another node. */
  readonly from?: string;
  /** The other nodes, the ways to whom it concerns. Absent: all. */
  readonly peers?: readonly string[];
  /** What it is about, so that two nodes that see the same say it once: "route 10.244.3.0/24". */
  readonly subject: string;
  /** What is wrong, one sentence. */
  readonly title: string;
  /** Why that keeps pods from talking. */
  readonly explanation: string;
  /** What was read, one line each. */
  readonly evidence: readonly string[];
  readonly remedy: string;
  /** `twill doctor --fix`, on this node, mends it: it is ours. */
  readonly fixable?: true;
}

/** The same finding, seen from several nodes, once; errors first, then by node. */
export function distinct(findings: readonly Finding[]): Finding[] {
  const byId = new Map<string, Finding>();
  for (const finding of findings) {
    const id = JSON.stringify([finding.id, finding.node, finding.subject]);
    if (!byId.has(id)) byId.set(id, finding);
  }
  const rank = ({ severity, node, id, subject }: Finding) => JSON.stringify([severity, node, id, subject]);
  return [...byId.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}
