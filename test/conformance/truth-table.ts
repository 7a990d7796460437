import { type Answer, allPods, type Probe, probeText } from "./probe.ts";

export interface Cell {
  readonly probe: Probe;
  readonly expected: Answer;
  readonly observed: Answer;
}

const letters: Readonly<Record<Answer, string>> = { connected: ".", refused: "R", "timed out": "X" };

/**
 * Undefined: as expected. Else one table for each protocol, port and family that has a difference, sources as rows and destinations
 * as columns: what was expected, what was observed, and where they differ; and what is not between pods of the matrix, one by one.
 */
export function differences(cells: readonly Cell[]): string | undefined {
  if (cells.every(({ expected, observed }) => expected === observed)) return undefined;
  const inMatrix = cells.filter(({ probe }) => allPods.includes(probe.from) && allPods.includes(probe.to));
  const groups = Map.groupBy(inMatrix, ({ probe }) => `${probe.protocol} ${probe.port} over IPv${probe.family}`);
  const tables = [...groups]
    .filter(([, group]) => group.some(({ expected, observed }) => expected !== observed))
    .map(([title, group]) => table(title, group));
  const others = cells
    .filter((cell) => !inMatrix.includes(cell) && cell.expected !== cell.observed)
    .map(({ probe, expected, observed }) => `${probeText(probe)}: expected ${expected}, observed ${observed}`);
  return [...tables, ...others].join("\n\n");
}

/** `.` connected, `R` refused, `X` timed out; in the third part only cells that differ. */
function table(title: string, cells: readonly Cell[]): string {
  const find = (from: string, to: string) => cells.find(({ probe }) => probe.from === from && probe.to === to);
  const block = (letter: (cell: Cell) => string) => (from: string) =>
    allPods
      .map((to) => find(from, to))
      .map((cell) => (cell === undefined ? " " : letter(cell)).padEnd(4))
      .join("");
  const blocks = [
    block(({ expected }) => letters[expected]),
    block(({ observed }) => letters[observed]),
    block(({ expected, observed }) => (expected === observed ? " " : letters[observed])),
  ];
  const width = allPods.length * 4;
  const heads = ["expected", "observed", "difference"].map((head) => head.padEnd(width)).join("| ");
  const columns = allPods.map((name) => name.padEnd(4)).join("");
  const rows = allPods.map((from) => `${from}  ${blocks.map((of) => of(from)).join("| ")}`);
  return [title, `     ${heads}`, `     ${[columns, columns, columns].join("| ")}`, ...rows]
    .map((line) => line.trimEnd())
    .join("\n");
}
