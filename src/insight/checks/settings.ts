import { familyOf } from "../../base/address.ts";
import { prefixFamily } from "../../base/prefix.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { linkNamed, nameOf } from "../kernel-view.ts";
import { describeRoute, failsReversePath, lookupRoute } from "../route-lookup.ts";

/** Devices by which packets of pods come to the node's routing. */
const pathDevices = ({ view, tunnels }: NodeFacts): string[] => [
  ...new Set([
    ...view.pods.flatMap(({ hostDevice }) => {
      const link = hostDevice === undefined ? undefined : linkNamed(view.kernel, hostDevice);
      return link === undefined ? [] : [link.master === undefined ? link.name : nameOf(view.kernel, link.master)];
    }),
    ...tunnels.filter(({ kind }) => familyOf(kind.local) === 4).map(({ name }) => name),
    ...(view.underlay === undefined ? [] : [view.underlay]),
  ]),
];

export function checkForwarding(facts: NodeFacts): Finding[] {
  const { node, view, agent } = facts;
  const { settings } = view.kernel;
  const head = { id: "forwarding", severity: "error", node, fixable: true } as const;
  const explanation = "a node that does not forward throws away what passes through it: all that pods send and get";
  const findings: Finding[] = [];
  const has = (family: 4 | 6) => agent.networks.some((network) => prefixFamily(network) === family);
  if (has(4) && settings.get("ipv4/ip_forward") === "0") {
    findings.push({
      ...head,
      subject: "IPv4",
      title: "IPv4 forwarding is off",
      explanation,
      evidence: ["net.ipv4.ip_forward = 0"],
      remedy: "sysctl -w net.ipv4.ip_forward=1, and find who switches it off (grep -r ip_forward /etc/sysctl*)",
    });
  } else if (has(4)) {
    for (const device of pathDevices(facts).filter((name) => settings.get(`ipv4/conf/${name}/forwarding`) === "0")) {
      findings.push({
        ...head,
        subject: `IPv4 ${device}`,
        title: `IPv4 forwarding is off for what comes in by ${device}`,
        explanation,
        evidence: [`net.ipv4.conf.${device}.forwarding = 0, though net.ipv4.ip_forward = 1`],
        remedy: `sysctl -w net.ipv4.conf.${device}.forwarding=1`,
      });
    }
  }
  if (has(6) && settings.get("ipv6/conf/all/forwarding") === "0") {
    findings.push({
      ...head,
      subject: "IPv6",
      title: "IPv6 forwarding is off",
      explanation,
      evidence: ["net.ipv6.conf.all.forwarding = 0"],
      remedy: "sysctl -w net.ipv6.conf.all.forwarding=1",
    });
  }
  return findings;
}

/** Packets of peers that the reverse path filter drops: they come by one device, and the way back is another. */
export function checkReversePath({ node, view, agent, lease }: NodeFacts): Finding[] {
  const { kernel } = view;
  const dropped = new Map<string, string[]>();
  const note = (device: string, line: string) => dropped.set(device, [...(dropped.get(device) ?? []), line]);
  const own = kernel.addresses.find(
    ({ address }) => lease?.addresses.includes(address) === true && familyOf(address) === 4,
  );
  const arrival = own === undefined ? undefined : nameOf(kernel, own.device);
  for (const [peer, { addresses }] of agent.leases) {
    if (peer === node || arrival === undefined) continue;
    for (const address of addresses) {
      if (!failsReversePath(kernel, address, arrival)) continue;
      const back = lookupRoute(kernel, { destination: address });
      note(
        arrival,
        `${peer} (${address}): the way back is ${back.found === undefined ? back.reason : describeRoute(kernel, back.found)}`,
      );
    }
  }
  return [...dropped].map(([device, evidence]) => ({
    id: "rp-filter",
    severity: "error",
    node,
    subject: device,
    title: `the reverse path filter of ${device} drops packets of ${evidence.length} other node${evidence.length === 1 ? "" : "s"}`,
    explanation: "with rp_filter 1 the kernel drops a packet whose way back leads through another device",
    evidence: [
      `rp_filter: all = ${kernel.settings.get("ipv4/conf/all/rp_filter")}, ${device} = ${kernel.settings.get(`ipv4/conf/${device}/rp_filter`)}`,
      ...evidence.slice(0, 4),
    ],
    remedy: `sysctl -w net.ipv4.conf.${device}.rp_filter=2 (loose), or mend the routes`,
  }));
}

/** Tables of the kernel that are full, or as good as. */
export function checkTables({ node, view }: NodeFacts): Finding[] {
  const { settings, neighbours } = view.kernel;
  const number = (name: string) => Number(settings.get(name) ?? Number.NaN);
  const findings: Finding[] = [];
  const [count, most] = [number("netfilter/nf_conntrack_count"), number("netfilter/nf_conntrack_max")];
  if (most > 0 && count >= most * nearlyFull) {
    findings.push({
      id: "conntrack-full",
      severity: "error",
      node,
      subject: "conntrack",
      title: "the table of connections (conntrack) is full",
      explanation: "packets of new connections are thrown away, at random; those of old ones pass",
      evidence: [`${count} of ${most} entries (net.netfilter.nf_conntrack_count, _max)`],
      remedy: `sysctl -w net.netfilter.nf_conntrack_max=${most * 4}; look who opens so many: conntrack -L | awk '{print $4}' | sort | uniq -c | sort -n | tail`,
    });
  }
  for (const family of [4, 6] as const) {
    const limit = number(`ipv${family}/neigh/default/gc_thresh3`);
    // Permanent entries do not count (neigh_alloc: exempt from garbage collection).
    const entries = neighbours.filter(
      ({ address, state }) => familyOf(address) === family && state !== "permanent" && state !== "noarp",
    ).length;
    if (!(limit > 0) || entries < limit * nearlyFull) continue;
    findings.push({
      id: "neighbour-table-full",
      severity: "error",
      node,
      subject: `IPv${family}`,
      title: `the IPv${family} neighbour table is full`,
      explanation: "the kernel cannot learn further Ethernet addresses: new pods and machines are not reached",
      evidence: [`${entries} entries, at most ${limit} (net.ipv${family}.neigh.default.gc_thresh3)`],
      remedy: `sysctl -w net.ipv${family}.neigh.default.gc_thresh3=${limit * 8} (and gc_thresh2, gc_thresh1 in proportion)`,
    });
  }
  return findings;
}

/** Above it every burst fills it. */
const nearlyFull = 0.98;

/** Pods on a bridge: what they send each other does not pass nf_tables' IP hooks without br_netfilter. */
export function checkBridgeFilter({ node, view, agent }: NodeFacts): Finding[] {
  if (agent.attachment !== "bridge" && !view.pods.some(({ attachment }) => attachment === "bridge")) return [];
  const value = view.kernel.settings.get("bridge/bridge-nf-call-iptables");
  if (value === "1") return [];
  return [
    {
      id: "br-netfilter",
      severity: "warning",
      node,
      subject: "br_netfilter",
      title:
        value === undefined
          ? "the kernel module br_netfilter is not loaded"
          : "bridged packets do not pass the firewall (bridge-nf-call-iptables is 0)",
      explanation:
        "a pod that calls a Service whose endpoint is on the same bridge gets its answer from the wrong address, and drops it",
      evidence: [
        value === undefined ? "/proc/sys/net/bridge is missing" : `net.bridge.bridge-nf-call-iptables = ${value}`,
      ],
      remedy:
        "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
    },
  ];
}
