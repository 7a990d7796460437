import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import {
  compressedEnding,
  type HistoryFile,
  historyFileName,
  historyHeader,
  listHistory,
  nextSequence,
  removeLeftovers,
  temporaryEnding,
} from "./history-file.ts";

export interface HistoryOptions {
  readonly folder: string;
  readonly node: string;
  /** Of all files together, on disk. */
  readonly maximumBytes: number;
  /** A file of that size is closed and compressed. */
  readonly fileBytes: number;
  readonly clock: Clock;
  readonly log: Log;
}

export const historyDefaults = { maximumBytes: 64 << 20, fileBytes: 4 << 20 };

/** Lines that may wait for a slow disk, characters. */
const mostWaiting = 4 << 20;
const retryAfterMs = 30_000;
const compress = promisify(gzip);

/**
 * Appends lines to the ring of files, in the background: a slow disk delays nothing but the history, and a full one costs the history alone. What was
 * written before a kill -9 stays readable, for every line is whole or the last of its file: a new life begins a new file.
 */
export class HistoryWriter {
  readonly #options: HistoryOptions;
  #files: HistoryFile[];
  #waiting: { readonly sequence: number; readonly line: string }[] = [];
  #waitingLength = 0;
  #handle: FileHandle | undefined;
  #busy: Promise<void> | undefined;
  #notBefore = 0;
  #lost = 0;
  #failure: string | undefined;

  private constructor(options: HistoryOptions, files: HistoryFile[]) {
    this.#options = options;
    this.#files = files;
  }

  /** @returns with it the sequence that comes next. @throws what the file system says. */
  static open(options: HistoryOptions): { readonly writer: HistoryWriter; readonly next: number } {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    chmodSync(options.folder, 0o700);
    removeLeftovers(options.folder);
    const files = listHistory(options.folder);
    return { writer: new HistoryWriter(options, files), next: nextSequence(files) };
  }

  /** Oldest first; the last one grows. */
  get files(): readonly HistoryFile[] {
    return this.#files;
  }
  get bytes(): number {
    return this.#files.reduce((sum, file) => sum + file.bytes, 0);
  }
  /** Lines that could not be written. */
  get lost(): number {
    return this.#lost;
  }
  /** Why nothing is being kept. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @param line without its line break. */
  add(sequence: number, line: string): void {
    if (this.#waitingLength + line.length > mostWaiting) {
      this.#lost++;
      return;
    }
    this.#waiting.push({ sequence, line });
    this.#waitingLength += line.length + 1;
  }

  /** Writes what waits. Called again while it works, it waits for that work. Never throws. */
  flush(): Promise<void> {
    this.#busy ??= this.#write().finally(() => {
      this.#busy = undefined;
    });
    return this.#busy;
  }

  async close(): Promise<void> {
    await this.#busy;
    this.#notBefore = 0;
    await this.flush();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #write(): Promise<void> {
    const { clock, log } = this.#options;
    // What waits meanwhile is kept for the next try, as far as there is room.
    if (this.#waiting.length === 0 || clock.monotonic() < this.#notBefore) return;
    const lines = this.#waiting;
    this.#waiting = [];
    this.#waitingLength = 0;
    try {
      await this.#append(lines);
      await this.#turn();
      if (this.#failure !== undefined) log.info("flows are kept again");
      this.#failure = undefined;
    } catch (error) {
      this.#lost += lines.length;
      this.#notBefore = clock.monotonic() + retryAfterMs;
      if (this.#failure === undefined) log.warn("flows are not kept; they are still told to who follows", { error });
      this.#failure = describeError(error);
      // Its last line may be cut: what follows goes to another one.
      await this.#handle?.close().catch(() => {});
      this.#handle = undefined;
    }
  }

  async #append(lines: readonly { readonly sequence: number; readonly line: string }[]): Promise<void> {
    const first = lines[0]?.sequence ?? 0;
    const handle = this.#handle ?? (await this.#begin(first));
    this.#handle = handle;
    await handle.appendFile(`${lines.map(({ line }) => line).join("\n")}\n`);
    await this.#measure(handle);
  }

  async #begin(first: number): Promise<FileHandle> {
    const { folder, node, clock } = this.#options;
    const began = clock.now();
    const path = join(folder, historyFileName(first, began));
    const handle = await open(path, "a", 0o600);
    this.#files = [
      ...this.#files.filter((file) => file.path !== path),
      { path, first, began, bytes: 0, compressed: false },
    ];
    await handle.appendFile(`${historyHeader(node, first)}\n`);
    return handle;
  }

  async #measure(handle: FileHandle): Promise<void> {
    const { size } = await handle.stat();
    const last = this.#files.at(-1);
    if (last !== undefined) this.#files = [...this.#files.slice(0, -1), { ...last, bytes: size }];
  }

  /** Closes a full file, compresses what is closed, forgets the oldest. */
  async #turn(): Promise<void> {
    const { fileBytes, maximumBytes } = this.#options;
    if (this.#handle !== undefined && (this.#files.at(-1)?.bytes ?? 0) >= fileBytes) {
      await this.#handle.close();
      this.#handle = undefined;
    }
    const closed = this.#handle === undefined ? this.#files : this.#files.slice(0, -1);
    const plain = closed.find((file) => !file.compressed);
    if (plain !== undefined) await this.#compress(plain);
    while (this.bytes > maximumBytes && this.#files.length > 1) {
      const [oldest, ...rest] = this.#files;
      if (oldest === undefined) break;
      this.#files = rest;
      await rm(oldest.path, { force: true });
    }
  }

  /** Under another name until it is whole. */
  async #compress(file: HistoryFile): Promise<void> {
    const path = `${file.path}${compressedEnding}`;
    const temporary = `${path}${temporaryEnding}`;
    try {
      const handle = await open(temporary, "w", 0o600);
      try {
        await handle.writeFile(await compress(await Bun.file(file.path).bytes()));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
    } catch {
      // Without room for a copy it stays as it is, and is tried again with the next lines.
      rmSync(temporary, { force: true });
      return;
    }
    const { size: bytes } = await stat(path);
    this.#files = this.#files.map((other) =>
      other.path === file.path ? { ...file, path, bytes, compressed: true } : other,
    );
    await rm(file.path, { force: true });
  }
}
