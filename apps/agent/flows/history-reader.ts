import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Flow } from "../../../src/model/flow.ts";
import { type HistoryFile, linesOf, sequenceOf, tryDecode } from "./history-file.ts";

const decompress = promisify(gunzip);

/** Lines that one call decodes: the agent has other work to do. */
const linesPerPage = 1000;

export interface DiskPage {
  readonly flows: readonly Flow[];
  readonly next: number;
}

/** Reads the ring a page at a time. The file read last is kept, for who asks for one page asks for the next. */
export class HistoryReader {
  #open: { readonly path: string; readonly bytes: number; readonly lines: readonly string[] } | undefined;

  /** Which place to begin with, to miss nothing that ended at `since` or later. */
  static placeOf(files: readonly HistoryFile[], since: number): number {
    // A file holds what was told between its beginning and the next one's.
    const last = files.findLastIndex((file) => file.began <= since);
    return files[Math.max(0, last)]?.first ?? 0;
  }

  /**
   * Flows from `place` on, before `end`, that match, at most `limit`. @returns with the place to go on from: past everything that was
   * looked at; `end` when the files hold nothing more.
   */
  async page(
    files: () => readonly HistoryFile[],
    place: number,
    end: number,
    matches: (flow: Flow) => boolean,
    limit: number,
  ): Promise<DiskPage> {
    const { lines, behind } = await this.#at(files, place, end);
    const flows: Flow[] = [];
    let at = lines.findIndex((line) => sequenceOf(line) >= place);
    if (at < 0) return { flows, next: behind };
    for (const stop = at + linesPerPage; at < lines.length && at < stop; at++) {
      const line = lines[at] ?? "";
      const sequence = sequenceOf(line);
      if (sequence >= end) return { flows, next: end };
      if (flows.length >= limit) return { flows, next: sequence };
      const flow = tryDecode(line);
      if (flow !== undefined && matches(flow)) flows.push(flow);
    }
    const next = sequenceOf(lines[at] ?? "");
    return { flows, next: Number.isNaN(next) ? behind : next };
  }

  /** The lines of the file that holds the place, and the place behind them. */
  async #at(files: () => readonly HistoryFile[], place: number, end: number) {
    for (let attempt = 0; ; attempt++) {
      const listed = files();
      const index = Math.max(
        0,
        listed.findLastIndex((file) => file.first <= place),
      );
      const file = listed[index];
      const lines = file === undefined ? [] : await this.#linesOf(file);
      // It has been compressed, or was the oldest, since it was listed.
      if (lines === undefined && attempt < 3 && file !== undefined && !files().includes(file)) continue;
      const behind = Math.min(end, listed[index + 1]?.first ?? end);
      return { lines: lines ?? [], behind: Math.max(behind, place + 1) };
    }
  }

  /** Gives back the memory of the file read last. */
  forget(): void {
    this.#open = undefined;
  }

  /** undefined: it has gone meanwhile, or is not readable. */
  async #linesOf(file: HistoryFile): Promise<readonly string[] | undefined> {
    if (this.#open?.path === file.path && this.#open.bytes === file.bytes) return this.#open.lines;
    try {
      const content = await readFile(file.path);
      const lines = linesOf(file.compressed ? await decompress(content) : content);
      this.#open = { path: file.path, bytes: file.bytes, lines };
      return lines;
    } catch {
      return undefined;
    }
  }
}
