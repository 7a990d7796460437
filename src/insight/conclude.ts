import { distinct, type Finding, type FindingId } from "./finding.ts";

/** Causes that no model of routes and rules shows, and for which a probe may vanish anywhere on these nodes' ways. */
const invisible: ReadonlySet<FindingId> = new Set([
  "address-conflict",
  "checksum",
  "conntrack-full",
  "lease-stolen",
  "mtu",
  "neighbour-table-full",
  "network-overlap",
  "rp-filter",
  "wrong-interface",
]);
const blocking: ReadonlySet<FindingId> = new Set(["conntrack-full", "neighbour-table-full"]);
const symptoms: ReadonlySet<FindingId> = new Set(["path", "probe-stopped"]);
const bystanders: ReadonlySet<FindingId> = new Set([
  "agent-away",
  "agent-not-ready",
  "agent-problem",
  "version",
  "clock",
  "dns",
  "br-netfilter",
]);

/**
 * What is told: a lost probe is a symptom, and where its cause was found the symptom is left out. What stops by a node's
 * state needs a cause on that node; what is lost without a word, one on either end that can do that.
 */
export function conclude(findings: readonly Finding[]): Finding[] {
  const all = distinct(findings);
  const causes = all.filter(({ id }) => !symptoms.has(id) && !bystanders.has(id));
  const away = new Set(
    all
      .filter(({ id, evidence }) => id === "agent-away" && evidence.some((line) => line.endsWith("no answer to ping")))
      .map(({ node }) => node),
  );
  const deaf = new Set(all.filter(({ id }) => blocking.has(id)).map(({ node }) => node));
  return all.filter((finding) => {
    // Who can open no connection hears nobody: that says nothing about the others.
    if (finding.id === "agent-away" && finding.from !== undefined && deaf.has(finding.from)) return false;
    if (!symptoms.has(finding.id)) return true;
    const ends = finding.subject.split(" ");
    if (ends.some((end) => away.has(end))) return false;
    if (finding.id === "path") return !causes.some(({ node }) => node === finding.node);
    return !causes.some(
      ({ id, node, subject }) =>
        invisible.has(id) && (ends.includes(node) || ends.some((end) => subject.split(" ").includes(end))),
    );
  });
}
