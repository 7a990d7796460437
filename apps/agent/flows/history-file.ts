import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { isCode } from "../../../src/base/errors.ts";
import { decodeFlow } from "../../../src/insight/flows/flow-line.ts";

/** One file of the ring: lines of JSON, first a header, then flows. Its name is its index. */
export interface HistoryFile {
  readonly path: string;
  /** Sequence of its first flow. */
  readonly first: number;
  /** When it was begun, milliseconds since 1970. */
  readonly began: number;
  /** On disk. */
  readonly bytes: number;
  /** It is whole, and never written again. */
  readonly compressed: boolean;
}

/** "flows-000000000000042-1795285975000.jsonl.gz" */
const namePattern = /^flows-(\d{15})-(\d{13})\.jsonl(\.gz)?$/;
export const temporaryEnding = ".tmp";
export const compressedEnding = ".gz";

export const historyFileName = (first: number, began: number): string =>
  `flows-${String(first).padStart(15, "0")}-${String(began).padStart(13, "0")}.jsonl`;

/** Read by people, and by a later version. */
export const historyHeader = (node: string, first: number): string =>
  JSON.stringify({ twill: "flows", version: 1, node, first });

/** Takes away what a life that ended while it compressed left: the half copy, or the original of a whole one. */
export function removeLeftovers(folder: string): void {
  const names = new Set(readdirSync(folder));
  for (const name of names) {
    if (name.endsWith(temporaryEnding) || names.has(`${name}${compressedEnding}`))
      rmSync(join(folder, name), { force: true });
  }
}

/** What is in the folder, oldest first. */
export function listHistory(folder: string): HistoryFile[] {
  const files: HistoryFile[] = [];
  for (const name of readdirSync(folder)) {
    const [, first, began, ending] = namePattern.exec(name) ?? [];
    if (first === undefined || began === undefined) continue;
    const path = join(folder, name);
    const { size } = statSync(path);
    files.push({ path, first: Number(first), began: Number(began), bytes: size, compressed: ending !== undefined });
  }
  return files.sort((a, b) => a.first - b.first || a.began - b.began);
}

/** The lines of flows; what a crash or a full disk cut off is left to whoever decodes them. */
export const linesOf = (content: Uint8Array): string[] =>
  new TextDecoder()
    .decode(content)
    .split("\n")
    .filter((line) => line.startsWith(flowStart));

const flowStart = '{"sequence":';

/** Without decoding the rest: encodeFlow writes it first. NaN for a line that was cut. */
export function sequenceOf(line: string): number {
  const end = line.indexOf(",", flowStart.length);
  return end < 0 ? Number.NaN : Number(line.slice(flowStart.length, end));
}

/** The number after the last flow that was kept; 1 for an empty folder. */
export function nextSequence(files: readonly HistoryFile[]): number {
  const last = files.at(-1);
  if (last === undefined) return 1;
  try {
    const content = readFileSync(last.path);
    const lines = linesOf(last.compressed ? gunzipSync(content) : content);
    for (const line of lines.toReversed()) {
      const flow = tryDecode(line);
      if (flow !== undefined) return Math.max(last.first, flow.sequence + 1);
    }
  } catch {
    // Not readable: a number that none of its flows can have.
    return last.first + 1_000_000;
  }
  return last.first;
}

export function tryDecode(line: string): ReturnType<typeof decodeFlow> | undefined {
  try {
    return decodeFlow(line);
  } catch (error) {
    if (isCode(error, "corrupt")) return undefined;
    throw error;
  }
}
