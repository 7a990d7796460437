import type { Conversion, Finding, Outcome } from "../../src/intent/convert/finding.ts";
import type { Paint } from "./status-text.ts";

const headings: Readonly<Record<Outcome, string>> = {
  refused: "REFUSED: nothing is written before each is accepted",
  changed: "CHANGED: something else stands in its place",
  "left-out": "LEFT OUT",
  unknown: "UNKNOWN: not carried over",
  carried: "CARRIED OVER",
  covered: "NOTHING TO DO: Twill or its manifest does this anyway",
};

/** What needs the reader's eye first. */
const order: readonly Outcome[] = ["refused", "changed", "unknown", "left-out", "carried", "covered"];

/** All findings, by what became of them; alike ones of an object in one entry. */
export function convertReport({ from, findings }: Conversion, colours: Paint): string {
  const minor = findings.filter((finding) => finding.minor === true);
  const count = (outcome: Outcome) =>
    findings.filter((finding) => finding.outcome === outcome && finding.minor !== true).length;
  const counts = order
    .filter((outcome) => count(outcome) > 0)
    .map((outcome) => `${count(outcome)} ${outcome.replace("-", " ")}`);
  const lines = [`${from}: ${findings.length} values: ${counts.join(", ")}, ${minor.length} around them`];
  for (const outcome of order) {
    const found = findings.filter((finding) => finding.outcome === outcome && finding.minor !== true);
    if (found.length === 0) continue;
    const paint =
      outcome === "refused"
        ? colours.bad
        : outcome === "carried" || outcome === "covered"
          ? colours.good
          : colours.warn;
    lines.push("", paint(headings[outcome]), ...groups(found).flatMap((group) => describeGroup(group, outcome)));
  }
  if (minor.length > 0) {
    const objects = [...new Set(minor.map(({ object }) => object))];
    const inEach = objects.map((object) => `${object} ${minor.filter((finding) => finding.object === object).length}`);
    lines.push(
      "",
      "AND what surrounds the settings, of which Twill's manifest has its own (-o json names every value):",
    );
    lines.push(`  ${inEach.join(", ")}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Findings of one object with one reason. */
function groups(findings: readonly Finding[]): readonly (readonly Finding[])[] {
  const found = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = `${finding.object}\n${finding.reason}`;
    const group = found.get(key);
    if (group === undefined) found.set(key, [finding]);
    else group.push(finding);
  }
  return [...found.values()];
}

function describeGroup(group: readonly Finding[], outcome: Outcome): readonly string[] {
  const [first] = group;
  if (first === undefined) return [];
  const known = outcome === "covered" || outcome === "left-out";
  const names =
    known && group.length > 8
      ? `${group
          .slice(0, 3)
          .map(({ name }) => name)
          .join(", ")} and ${group.length - 3} more (-o json names all)`
      : group.map(setting).join(known ? ", " : "\n    ");
  if (outcome === "carried") return [`  ${first.object}: ${names}  →  ${first.reason}`];
  const lines = [`  ${first.object}: ${names}`, `      ${first.reason}`];
  if (first.ifAccepted !== undefined) lines.push(`      --accept ${first.name}: ${first.ifAccepted}`);
  return lines;
}

const setting = ({ name, value }: Finding): string => (value === "" ? name : `${name} = ${value}`);
