import type { PortClass } from "../../model/policy-state.ts";
import type { Point } from "./decide.ts";
import type { Program, StepPorts } from "./program.ts";

/** Ports that the programs do not tell apart. */
export interface PortCell {
  readonly protocol: number;
  /** Numbered from 0 by protocol; 0 is the rest, and has no ranges. */
  readonly number: PortClass;
  /** Ascending, disjoint, not adjacent. */
  readonly ranges: readonly PortSpan[];
  /** One of them: what holds for it holds for all. */
  readonly point: Point;
}

export interface PortSpan {
  readonly first: number;
  readonly last: number;
}

/** All but the cell of what no rule names (`otherTraffic`), by protocol, then number. */
export function portCells(programs: readonly Program[]): readonly PortCell[] {
  const conditions = conditionsOf(programs);
  const named = new Set(conditions.flatMap((condition) => condition.map(({ protocol }) => protocol)));
  return [...named]
    .filter((protocol) => protocol !== undefined)
    .sort((a, b) => a - b)
    .flatMap((protocol) => cellsOf(protocol, conditions));
}

/** A protocol that no rule names. */
export const otherTraffic: Point = { protocol: undefined, port: undefined };

/**
 * Ports that one step asks for, together: of those, one port is as good as another. Steps that ask alike are one.
 */
function conditionsOf(programs: readonly Program[]): readonly (readonly StepPorts[])[] {
  const found = new Map<string, readonly StepPorts[]>();
  for (const { steps } of programs) {
    for (const { traffic, notTraffic } of steps) {
      for (const matches of [traffic, notTraffic]) {
        if (matches === undefined) continue;
        for (const alike of byFact(matches)) found.set(JSON.stringify(alike), alike);
      }
    }
  }
  return [...found.values()];
}

function byFact(matches: readonly StepPorts[]): Iterable<readonly StepPorts[]> {
  const groups = new Map<string | undefined, StepPorts[]>();
  for (const match of matches) {
    const group = groups.get(match.fact);
    if (group === undefined) groups.set(match.fact, [match]);
    else group.push(match);
  }
  return groups.values();
}

/**
 * The port space is cut at every boundary that a condition has, and the pieces are parted once for each condition into those
 * that it covers and the others. So n overlapping ranges cost n² small steps and give at most 2n + 1 cells.
 */
function cellsOf(protocol: number, conditions: readonly (readonly StepPorts[])[]): readonly PortCell[] {
  const spans = conditions.map((condition) => spansOf(protocol, condition)).filter((found) => found.length > 0);
  const starts = new Set([0, ...spans.flat().flatMap(({ first, last }) => [first, last + 1])]);
  const pieces = [...starts].filter((start) => start <= 65535).sort((a, b) => a - b);
  const pieceAt = new Map(pieces.map((start, index) => [start, index]));
  // The last element stands for ports that no condition names.
  let colours = new Uint32Array(pieces.length + 1);
  for (const span of spans) colours = parted(colours, span, pieceAt);
  const rest = colours[pieces.length];
  const cells = new Map<number, { ranges: PortSpan[] }>();
  pieces.forEach((first, index) => {
    const colour = colours[index];
    if (colour === undefined || colour === rest) return;
    const last = (pieces[index + 1] ?? 65536) - 1;
    const cell = cells.get(colour);
    if (cell === undefined) cells.set(colour, { ranges: [{ first, last }] });
    else extend(cell.ranges, { first, last });
  });
  const numbered = [...cells.values()].map(({ ranges }, index): PortCell => {
    return { protocol, number: index + 1, ranges, point: { protocol, port: ranges[0]?.first } };
  });
  return [{ protocol, number: 0, ranges: [], point: { protocol, port: undefined } }, ...numbered];
}

function parted(
  colours: Uint32Array<ArrayBuffer>,
  spans: readonly PortSpan[],
  pieceAt: ReadonlyMap<number, number>,
): Uint32Array<ArrayBuffer> {
  const covered = new Uint8Array(colours.length);
  for (const { first, last } of spans) {
    covered.fill(1, pieceAt.get(first) ?? 0, pieceAt.get(last + 1) ?? colours.length - 1);
  }
  const numbers = new Map<number, number>();
  return colours.map((colour, index) => {
    const key = colour * 2 + (covered[index] ?? 0);
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
}

/** Those parts that are not the whole protocol. */
function spansOf(protocol: number, condition: readonly StepPorts[]): readonly PortSpan[] {
  if (condition.some((match) => match.ports === undefined && (match.protocol ?? protocol) === protocol)) return [];
  return condition.flatMap((match) => (match.protocol === protocol && match.ports !== undefined ? [match.ports] : []));
}

function extend(ranges: PortSpan[], { first, last }: PortSpan): void {
  const before = ranges.at(-1);
  if (before !== undefined && before.last === first - 1) ranges[ranges.length - 1] = { first: before.first, last };
  else ranges.push({ first, last });
}
