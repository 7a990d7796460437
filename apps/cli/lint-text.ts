import type { LintFinding } from "../../src/insight/policy/lint.ts";
import { placeText } from "./explain-text.ts";
import type { Paint } from "./status-text.ts";

/** What `twill policy lint` prints: errors first, each with what to do. */
export function lintText(findings: readonly LintFinding[], policies: number, colours: Paint): string {
  const count = (severity: LintFinding["severity"]): number =>
    findings.filter((each) => each.severity === severity).length;
  const found = (["error", "warning", "note"] as const).flatMap((severity) => {
    const number = count(severity);
    return number === 0 ? [] : [`${number} ${severity}${number === 1 ? "" : "s"}`];
  });
  const looked = `${policies} ${policies === 1 ? "policy" : "policies"} looked at`;
  if (findings.length === 0) return `${colours.good("nothing to complain of")} (${looked})\n`;
  const lines = [`${colours.strong(found.join(", "))} (${looked})`];
  const marks = { error: colours.bad("✗"), warning: colours.warn("!"), note: "·" };
  for (const { severity, place, direction, message, remedy, check } of findings) {
    const where = direction === undefined ? placeText(place) : `${placeText(place)}, ${direction}`;
    lines.push("", `${marks[severity]} ${where}: ${message} [${check}]`, `  do: ${remedy}`);
  }
  return `${lines.join("\n")}\n`;
}
