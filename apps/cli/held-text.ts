import type { Explanation } from "../../src/insight/policy/explain.ts";
import type { HeldRow } from "../../src/insight/policy/held-rows.ts";
import type { Trace } from "../../src/insight/trace.ts";
import { contradicts, type NodeHeld } from "./explain-command.ts";
import type { Paint } from "./status-text.ts";

/** What `twill explain` says of the kernels: that they hold what the policies say, or what not. */
export function heldText(
  explanation: Explanation,
  held: readonly NodeHeld[],
  sent: Trace | undefined,
  colours: Paint,
): string {
  const lines = held.flatMap((node) => nodeLines(node, explanation, colours));
  const text = lines.length === 0 ? "" : `\nin the kernel:\n${lines.map((line) => `  ${line}\n`).join("")}`;
  if (!contradicts(explanation, sent)) return text;
  return `${text}\n${colours.bad("policy denies it, and a packet came through")}: tell the maintainers, with twill bundle\n`;
}

function nodeLines({ node, rows, error }: NodeHeld, explanation: Explanation, colours: Paint): readonly string[] {
  if (error !== undefined) return [colours.warn(`${node}: not asked: ${error}`)];
  if (rows === undefined) {
    const expected = explanation.directions.every(({ policies }) => policies.length === 0);
    return [
      expected ? `${node}: no policy is in force` : colours.bad(`${node}: no policy is in force, and there should be`),
    ];
  }
  if (rows.length === 0) return [`${node}: nothing is decided there`];
  return rows.map((row) => rowLine(node, row, explanation, colours));
}

function rowLine(node: string, row: HeldRow, explanation: Explanation, colours: Paint): string {
  const { direction, decision, number, packets, differences } = row;
  const said = explanation.directions.find((one) => one.direction === direction);
  const counted = packets === undefined ? "" : `, taken ${packets}×`;
  const head = `${node} ${direction}: ${decision.verdict}, decision ${number}${counted}`;
  if (differences.length > 0) return `${head}; ${colours.bad(differences.join("; "))}`;
  if (said !== undefined && said.decision.verdict !== decision.verdict)
    return `${head}; ${colours.bad(`but its policies say ${said.decision.verdict}: the agents do not know the same`)}`;
  return `${head}, as the policies say`;
}
