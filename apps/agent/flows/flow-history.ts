import { TwillError } from "../../../src/base/errors.ts";
import type { FlowDraft } from "../../../src/insight/flows/aggregate.ts";
import { flowMatcher } from "../../../src/insight/flows/flow-filter.ts";
import { encodeFlow } from "../../../src/insight/flows/flow-line.ts";
import type { Flow, FlowPage, FlowsRequest } from "../../../src/model/flow.ts";
import { HistoryReader } from "./history-reader.ts";
import { type HistoryOptions, HistoryWriter } from "./history-writer.ts";

/** Told last, in memory: who follows reads no disk, and a full one keeps nobody from following. */
const recentFlows = 2000;
/** Of flows that the disk has not got yet. */
const mostRecent = 20_000;

/** This node's flows: the last ones in memory, more on the disk, in one order. */
export class FlowHistory {
  readonly #writer: HistoryWriter | undefined;
  readonly #reader = new HistoryReader();
  #recent: Flow[] = [];
  #next: number;
  #unwritten = 0;

  private constructor(writer: HistoryWriter | undefined, next: number) {
    this.#writer = writer;
    this.#next = next;
  }

  /** @param options undefined: in memory only. @throws TwillError `io`. */
  static open(options: HistoryOptions | undefined): FlowHistory {
    if (options === undefined) return new FlowHistory(undefined, 1);
    try {
      const { writer, next } = HistoryWriter.open(options);
      return new FlowHistory(writer, next);
    } catch (cause) {
      throw new TwillError("io", "the history of flows cannot be used", {
        operation: "open",
        object: options.folder,
        remedy: "is it a folder, and is there room? Move it away, and restart the agent",
        cause,
      });
    }
  }

  get kept(): { readonly bytes: number; readonly files: number; readonly lost: number; readonly failure?: string } {
    const failure = this.#writer?.failure;
    return {
      bytes: this.#writer?.bytes ?? 0,
      files: this.#writer?.files.length ?? 0,
      lost: this.#writer?.lost ?? 0,
      ...(failure === undefined ? {} : { failure }),
    };
  }

  add(drafts: readonly FlowDraft[]): void {
    for (const draft of drafts) {
      const flow: Flow = { sequence: this.#next++, ...draft };
      this.#recent.push(flow);
      this.#writer?.add(flow.sequence, encodeFlow(flow));
      this.#unwritten++;
    }
    this.#trim();
  }

  /** To the disk. Never throws. */
  async flush(): Promise<void> {
    const before = this.#next;
    await this.#writer?.flush();
    this.#unwritten = this.#next - before;
    this.#trim();
  }

  async page({ filter, place, limit }: FlowsRequest): Promise<Omit<FlowPage, "lost">> {
    const matches = flowMatcher(filter);
    const from = place ?? this.#placeOf(filter.since ?? 0);
    if (from > this.#next) return { flows: [], next: this.#first, more: this.#recent.length > 0, missed: 0 };
    const missed = Math.max(0, this.#first - from);
    const start = Math.max(from, this.#first);
    const recentFrom = this.#recent[0]?.sequence ?? this.#next;
    if (start < recentFrom && this.#writer !== undefined) {
      const { flows, next } = await this.#reader.page(() => this.#files, start, recentFrom, matches, limit);
      return { flows, next, more: true, missed };
    }
    const flows: Flow[] = [];
    let next = Math.max(start, recentFrom);
    for (const flow of this.#recent.slice(next - recentFrom)) {
      if (flows.length >= limit) break;
      if (matches(flow)) flows.push(flow);
      next = flow.sequence + 1;
    }
    this.#reader.forget();
    return { flows, next, more: next < this.#next, missed };
  }

  close(): Promise<void> {
    return this.#writer?.close() ?? Promise.resolve();
  }

  get #files() {
    return this.#writer?.files ?? [];
  }
  /** Sequence of the oldest flow that is kept. */
  get #first(): number {
    return this.#files[0]?.first ?? this.#recent[0]?.sequence ?? this.#next;
  }

  #placeOf(since: number): number {
    return since === 0 || this.#files.length === 0 ? this.#first : HistoryReader.placeOf(this.#files, since);
  }

  /** Those that the disk has not got stay longer, or who reads would find them nowhere. */
  #trim(): void {
    const keep = Math.min(mostRecent, recentFlows + (this.#writer === undefined ? 0 : this.#unwritten));
    // Twice the room, so that not each flow moves all others.
    if (this.#recent.length > keep * 2) this.#recent = this.#recent.slice(-keep);
  }
}
