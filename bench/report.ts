import { pairedRatio, type Ratio, type Summary, summarize } from "./statistics.ts";

/** Two sides measured in turns, and what was to be reached. */
export interface Comparison extends Ratio {
  readonly what: string;
  readonly against: string;
  readonly unit: string;
  readonly ours: Summary;
  readonly theirs: Summary;
  /** Of the two p99, which no pairing steadies. */
  readonly ratioOfP99: number;
  readonly goal?: Range;
}

/** Inclusive. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
}

/** A number that nothing is compared with. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  readonly reached?: boolean;
}

export type Row = Comparison | Figure;

export interface Report {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly rows: readonly Row[];
  readonly seconds: number;
}

export function compare(input: {
  readonly what: string;
  readonly against: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** What the ratio is taken of, where turns had several values each: one value for each turn. */
  readonly pairs?: { readonly ours: readonly number[]; readonly theirs: readonly number[] };
  readonly goal?: Range;
}): Comparison {
  const { ours, theirs, pairs = { ours, theirs }, ...rest } = input;
  const [a, b] = [summarize(ours), summarize(theirs)];
  return { ...rest, ours: a, theirs: b, ...pairedRatio(pairs.ours, pairs.theirs), ratioOfP99: a.p99 / b.p99 };
}

type Verdict = "reached" | "undecided" | "MISSED" | "";

/** Undecided: outside of the goal, by less than the measurement is uncertain. */
function judge({ ratio, uncertainty, goal }: Comparison): Verdict {
  if (goal === undefined) return "";
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = goal;
  if (ratio >= least && ratio <= most) return "reached";
  return ratio + uncertainty >= least && ratio - uncertainty <= most ? "undecided" : "MISSED";
}

/** Three significant digits. */
const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function goalText({ least, most }: Range = {}): string {
  if (least === undefined && most === undefined) return "";
  if (least !== undefined && most !== undefined) return `${least}–${most}`;
  return least === undefined ? `≤ ${most}` : `≥ ${least}`;
}

const header = ["", "against", "ours p50 / p99", "theirs p50 / p99", "n", "ratio", "of p99", "goal", ""];

function cells(row: Row): string[] {
  if (!("ours" in row))
    return [
      row.what,
      "",
      row.value,
      "",
      "",
      "",
      "",
      "",
      row.reached === undefined ? "" : row.reached ? "reached" : "MISSED",
    ];
  const { what, against, unit, ours, theirs, ratio, spread, ratioOfP99, goal } = row;
  const side = ({ p50, p99 }: Summary) => `${digits(p50)} / ${digits(p99)} ${unit}`;
  const measured = `${ratio.toFixed(3)} ± ${spread.toFixed(3)}`;
  return [
    what,
    against,
    side(ours),
    side(theirs),
    String(ours.count),
    measured,
    ratioOfP99.toFixed(2),
    goalText(goal),
    judge(row),
  ];
}

/** For a terminal. */
export function formatReport({ title, rows, seconds }: Report): string {
  const table = [header, ...rows.map(cells)];
  const widths = header.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  const lines = table.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `\n${title} (${seconds} s)\n${lines.join("\n")}\n`;
}

/**
 * docs/performance.md with a new report in it; those of other benchmarks stay as they were measured.
 * @param names Of all benchmarks, in the order of their sections; sections of others are left out.
 */
export function withReport(page: string, report: Report, machine: string, names: readonly string[]): string {
  const sections = new Map<string, string>();
  for (const section of page.split(/^(?=## )/m).slice(1)) {
    const name = /^Repeat it with `npm run bench -- (\S+)`/m.exec(section)?.[1];
    if (name !== undefined) sections.set(name, section.trimEnd());
  }
  sections.set(report.name, formatSection(report, machine));
  return `${introduction}\n${names.flatMap((name) => sections.get(name) ?? []).join("\n\n")}\n`;
}

function formatSection({ name, title, about, rows, seconds }: Report, machine: string): string {
  const line = (columns: readonly string[]) => `| ${columns.join(" | ")} |`;
  return [
    `## ${title}`,
    "",
    about,
    "",
    `Repeat it with \`npm run bench -- ${name}\` (${seconds} s). Measured on ${machine}.`,
    "",
    line(header),
    line(header.map(() => "---")),
    ...rows.map((row) => line(cells(row))),
  ].join("\n");
}

const introduction = `# Performance

Written by \`npm run bench -- --write\`, as root; \`npm run bench -- NAME --write\` renews one part. Do not edit.

Numbers of different machines, or of one machine at different hours, cannot be compared. What is compared here was measured
in one run, both sides in turns, and the ratio is the median of the ratios of neighbours (± half the distance between their
quartiles), so that noise which hits both cancels out. p50 and p99 are each side's own. A ratio outside of its goal, but by
less than the median of so many turns is uncertain (95 %), is called undecided: the machine was not quiet enough.
`;
