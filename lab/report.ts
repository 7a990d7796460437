import type { Family } from "../src/base/address.ts";
import type { CheckResult } from "./api.ts";
import { type Endpoint, type PairResult, sourceSeen, type Verdict, works } from "./probe/result.ts";
import { type Cell, drawTable, type Paint } from "./table.ts";

/** One line of the table: pairs of one relation of which everything that the table shows is the same. */
export interface Row {
  readonly from: string;
  readonly to: string;
  readonly results: readonly PairResult[];
}

/** From this many pairs on, pairs that differ in nothing but their names share a line. */
export const groupFrom = 40;

/** @param each a line for each pair, however many there are. */
export function tableRows(results: readonly PairResult[], each: boolean): Row[] {
  if (each || results.length < groupFrom)
    return results.map((result) => ({ from: result.from.name, to: toName(result), results: [result] }));
  const groups = new Map<string, PairResult[]>();
  for (const result of results) {
    const { family, relation, from, to, path, mtu, faults } = result;
    const alike = works(result)
      ? [...describe(result), path, mtu, sourceKind(result)]
      : [relation, from.node, to.node, path, mtu, ...faults.map((fault) => general(result, fault))];
    const key = [family, ...alike].join("|");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [result]);
    else group.push(result);
  }
  return [...groups.values()].map((group) => {
    const [first] = group;
    if (first === undefined) return { from: "", to: "", results: group };
    if (group.length === 1) return { from: first.from.name, to: toName(first), results: group };
    const [from, to] = works(first) ? describe(first) : [whose(first.from), whose(first.to)];
    return { from: `${from} ×${group.length}`, to, results: group };
  });
}

/** @param width columns of the terminal; below 100 the least important columns are left out. */
export function drawReport(rows: readonly Row[], families: readonly Family[], width: number, paint: Paint): string[] {
  const wide = width >= 100;
  const dual = families.length > 1;
  const headings = ["FROM", "TO", ...(dual ? ["IP"] : []), "PATH", "TCP", "UDP", "ICMP", "RTT", "MTU", "SOURCE SEEN"];
  const lines = drawTable(
    headings,
    rows.map((row) => cells(row, dual, wide)),
    paint,
  );
  const faults = rows.flatMap(({ results: [first, ...more] }) =>
    first === undefined || works(first) ? [] : [paint(`  ${faultLine(first, more.length, dual)}`, "red")],
  );
  return faults.length === 0 ? lines : [...lines, "", paint("What does not work:", "bold"), ...faults];
}

/** The same for machines: names instead of objects, and a verdict a path. Stable: fields are added, none is renamed. */
export function jsonReport(found: CheckResult): object {
  return {
    version: 1,
    cluster: found.view,
    families: found.families,
    works: found.results.filter(works).length,
    total: found.results.length,
    paths: found.results.map((result) => ({
      from: result.from.name,
      to: result.to.name,
      family: result.family,
      relation: result.relation,
      works: works(result),
      faults: result.faults,
      path: result.path,
      ...result.verdicts,
      rttMicroseconds: result.rtt,
      mtu: result.mtu,
      sourceSeen: sourceSeen(result),
    })),
  };
}

/** "N of N paths work" */
export function verdictLine(results: readonly PairResult[], paint: Paint): string {
  const good = results.filter(works).length;
  const denied = results.filter(({ verdicts }) => Object.values(verdicts).some(({ outcome }) => outcome === "denied"));
  const text = denied.length === 0 ? "" : `, ${denied.length} of them with something that policy denies`;
  return paint(`${good} of ${results.length} paths work${text}`, good === results.length ? "green" : "red");
}

function faultLine(result: PairResult, more: number, dual: boolean): string {
  const others = more === 0 ? "" : ` and ${more} alike`;
  const family = dual ? ` (IPv${result.family})` : "";
  return `${result.from.name} → ${toName(result)}${others}${family}: ${result.faults.join("; ")}`;
}

/** A fault without the names and addresses of this pair, to see whether two fail alike. */
function general(result: PairResult, fault: string): string {
  const own = [result.from.name, result.to.name, result.from.addresses[result.family], sourceSeen(result)];
  return own.reduce<string>((text, name) => (name === undefined ? text : text.replaceAll(name, "…")), fault);
}

const whose = (endpoint: Endpoint): string => (endpoint.kind === "pod" ? `pod of ${endpoint.node}` : endpoint.name);

function cells(row: Row, dual: boolean, wide: boolean): Cell[] {
  const [first] = row.results;
  if (first === undefined) return [];
  const colour = works(first) ? {} : ({ colour: "red" } as const);
  return [
    { text: row.from, ...colour },
    { text: row.to, ...colour },
    ...(dual ? [{ text: `v${first.family}` }] : []),
    { text: first.path ?? "–" },
    ...(["tcp", "udp", "icmp"] as const).map((protocol) => verdictCell(first.verdicts[protocol])),
    { text: rttText(row.results) },
    { text: first.mtu === undefined ? "–" : String(first.mtu) },
    { text: sourceText(row.results, wide) },
  ];
}

const words: Readonly<Record<Verdict["outcome"], Cell>> = {
  connected: { text: "ok", colour: "green" },
  refused: { text: "refused", colour: "red" },
  unreachable: { text: "unreach", colour: "red" },
  "timed out": { text: "timeout", colour: "red" },
  denied: { text: "denied" },
};
const verdictCell = (verdict: Verdict): Cell => words[verdict.outcome];

function rttText(results: readonly PairResult[]): string {
  const times = results.flatMap((result) => (result.rtt === undefined ? [] : [Math.round(result.rtt)]));
  if (times.length === 0) return "–";
  const low = Math.min(...times);
  const high = Math.max(...times);
  const text = (value: number): string => (value < 1000 ? `${value}µs` : `${(value / 1000).toFixed(1)}ms`);
  if (low === high) return text(low);
  return high < 1000 ? `${low}–${text(high)}` : `${text(low)}–${text(high)}`;
}

/** Whose address the other side saw, in the words of the sender. */
function sourceKind(result: PairResult): string {
  const seen = sourceSeen(result);
  if (seen === undefined) return "–";
  if (result.relation === "lo" || seen === result.from.addresses[result.family]) return "its own";
  return result.from.kind === "pod" ? "its node's" : "another of its own";
}

function sourceText(results: readonly PairResult[], wide: boolean): string {
  const [first] = results;
  if (first === undefined) return "–";
  const kind = sourceKind(first);
  if (results.length > 1) return kind;
  const seen = sourceSeen(first);
  if (seen === undefined) return "–";
  return wide ? `${seen} (${kind})` : seen;
}

const toName = (result: PairResult): string => (result.relation === "lo" ? "itself" : result.to.name);

/** The pair in general terms: who, and where the other is as seen from there. */
function describe(result: PairResult): readonly [string, string] {
  switch (result.relation) {
    case "lo":
      return ["pod", "itself"];
    case "pod-outside":
      return ["pod", "outside"];
    default: {
      const { from, to } = result;
      const where = from.node === to.node ? "same node" : from.subnet === to.subnet ? "same subnet" : "other subnet";
      return [from.kind, `${to.kind}, ${where}`];
    }
  }
}
