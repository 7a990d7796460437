import type { CutFlows } from "../../src/insight/policy/cut-flows.ts";
import type { DiffReport, ReportedChange, Side } from "../../src/insight/policy/diff-report.ts";
import type { Paint } from "./status-text.ts";
import { age } from "./table.ts";

/** Longer lists of names are for -o json. */
const mostWords = 4;
const mostLines = 40;

/** What `twill diff` prints: what closes, what opens, then what is in use of it. */
export function diffText(report: DiffReport, cut: CutFlows | undefined, now: number, colours: Paint): string {
  const { changes, added, removed } = report;
  const lines = [...headline(changes, cut, colours)];
  for (const effect of ["closes", "opens"] as const) {
    const own = changes.filter((change) => change.effect === effect);
    if (own.length === 0) continue;
    const paint = effect === "closes" ? colours.bad : colours.good;
    lines.push("", paint(`${effect}:`), ...own.slice(0, mostLines).map((change) => paint(changeLine(change))));
    if (own.length > mostLines) lines.push(`  and ${own.length - mostLines} more: -o json lists all`);
  }
  if (cut !== undefined && cut.examples.length > 0) {
    lines.push("", colours.bad("would have been cut:"));
    for (const { source, destination, traffic, count, last } of cut.examples)
      lines.push(`  ${source} → ${destination} ${traffic}: ${count}×, last ${age(now - last)} ago`);
    if (cut.kinds > cut.examples.length) lines.push(`  and ${cut.kinds - cut.examples.length} more: -o json lists all`);
  }
  if (added.length + removed.length > 0) {
    lines.push("", `not compared, for only one side has them: ${list([...added, ...removed])}`);
  }
  return `${lines.join("\n")}\n`;
}

function headline(changes: DiffReport["changes"], cut: CutFlows | undefined, colours: Paint): readonly string[] {
  if (changes.length === 0) return [colours.strong("nothing opens and nothing closes")];
  const count = (effect: ReportedChange["effect"]): number =>
    changes.filter((change) => change.effect === effect).length;
  const said = (effect: ReportedChange["effect"]): string =>
    count(effect) === 0
      ? `nothing ${effect}`
      : `${count(effect)} ${count(effect) === 1 ? "thing" : "things"} ${effect.replace(/s$/, count(effect) === 1 ? "s" : "")}`;
  const flows =
    cut === undefined
      ? "no flows are known to compare with"
      : cut.cut === 0
        ? `none of the ${cut.seen} connections seen would have been cut`
        : colours.bad(`${cut.cut} of ${cut.seen} connections seen would have been cut`);
  return [colours.strong(`${said("closes")}, ${said("opens")}`), flows];
}

function changeLine({ effect, from, to, traffic, family }: ReportedChange): string {
  const only = family === undefined ? "" : ` (IPv${family} only)`;
  return `  ${effect === "closes" ? "-" : "+"} ${words(from)} → ${words(to)}: ${traffic}${only}`;
}

const words = (side: Side): string => list(side.words);

const list = (names: readonly string[]): string =>
  names.length <= mostWords
    ? names.join(", ")
    : `${names.slice(0, mostWords - 1).join(", ")} and ${names.length - mostWords + 1} more`;
