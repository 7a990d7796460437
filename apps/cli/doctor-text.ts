import type { Finding } from "../../src/insight/finding.ts";
import type { Diagnosis } from "./doctor-command.ts";
import type { Paint } from "./status-text.ts";

/** What `twill doctor` prints: how much is wrong, then each cause with what shows it and what to do. */
export function doctorText({ nodes, findings, notes, paths, fixed }: Diagnosis, colours: Paint): string {
  const where = nodes.length === 1 ? nodes[0] : `${nodes.length} nodes`;
  const looked = `${where} looked at, ${paths} path${paths === 1 ? "" : "s"} probed`;
  const head =
    findings.length === 0
      ? colours.good("nothing is wrong")
      : colours.bad(`${findings.length} thing${findings.length === 1 ? " is" : "s are"} wrong`);
  const lines = [`${head} (${looked})`, ...fixed.map((what) => colours.good(`mended: ${what}`))];
  for (const [index, finding] of findings.entries()) lines.push("", ...paragraph(index + 1, finding, colours));
  if (notes.length > 0) lines.push("", ...notes.map((note) => `note: ${note}`));
  return `${lines.join("\n")}\n`;
}

function paragraph(
  number: number,
  { id, severity, node, title, explanation, evidence, remedy, fixable }: Finding,
  colours: Paint,
): string[] {
  const mark = severity === "error" ? colours.bad(`${number}.`) : colours.warn(`${number}.`);
  return [
    `${mark} ${node}: ${colours.strong(title)} [${id}]`,
    `   ${explanation}`,
    ...evidence.map((line) => `   - ${line}`),
    `   do: ${remedy}${fixable === true ? " (twill doctor --fix on this node does it)" : ""}`,
  ];
}
