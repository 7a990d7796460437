import { distinct, type Finding, type FindingId } from "./finding.ts";

const set = (...ids: readonly FindingId[]): ReadonlySet<FindingId> => new Set(ids);

/** What a probe tells: a symptom, where one of the others is its cause. */
const symptoms = set("path", "probe-stopped");
/** Why a packet stops at a node by that node's own state. */
const stopping = set(
  "address-conflict",
  "fdb",
  "firewall",
  "forwarding",
  "mtu",
  "neighbour",
  "network-overlap",
  "pod-device",
  "route",
  "rp-filter",
  "tunnel",
  "vtep-mac",
);
/** Why a packet is sent where it vanishes. */
const misleading = set("fdb", "neighbour", "network-overlap", "route", "tunnel", "vtep-mac");
/** Why packets vanish without a trace in any state that a model reads. */
const swallowing = set("conntrack-full", "lease-stolen", "neighbour-table-full", "wrong-interface");
/** Who has it can open no connection, and so hears nobody. */
const deafening = set("conntrack-full", "neighbour-table-full");

/**
 * What is told. A symptom is left out where its cause was found, and only there: two faults at once are two causes, and the
 * one that is not known must still show.
 */
export function conclude(findings: readonly Finding[]): Finding[] {
  const all = distinct(findings);
  return all.filter((finding) => {
    const others = all.filter((other) => other !== finding);
    if (symptoms.has(finding.id)) return !isExplained(finding, others);
    if (finding.id === "agent-away") return !others.some(({ id, node }) => deafening.has(id) && node === finding.from);
    if (finding.id === "mtu" && finding.peers !== undefined) {
      // Measured between two nodes; one of them may have said why.
      return !others.some(({ id, node, peers }) => id === "mtu" && peers === undefined && ends(finding).includes(node));
    }
    return true;
  });
}

const ends = ({ node, from, peers = [] }: Finding): readonly string[] => [
  node,
  ...(from === undefined ? [] : [from]),
  ...peers,
];

function isExplained(symptom: Finding, others: readonly Finding[]): boolean {
  const concerned = ends(symptom);
  return others.some(({ id, node, peers, evidence }) => {
    if (!concerned.includes(node)) return false;
    if (id === "agent-away") return evidence.some((line) => line.endsWith(": no answer to ping"));
    if (symptom.id === "path" && stopping.has(id)) return node === symptom.node;
    const onTheWay = peers === undefined || peers.some((peer) => concerned.includes(peer));
    return swallowing.has(id) || (misleading.has(id) && onTheWay);
  });
}
