import type { Kind, Revision, WatchEvent } from "../datastore.ts";
import { checkKind } from "../key.ts";
import type { Connection } from "./connection.ts";
import type { Pulse } from "./pulse.ts";
import { revisionNumber, revisionText } from "./revision.ts";
import { type Moment, watchEvent } from "./stored.ts";
import type { Tables } from "./tables.ts";

/** Events read at once: the most that waits in memory for a slow watcher; the rest waits in the file. */
const PAGE = 64;
/** A watcher of a quiet kind is told where it stands after this many revisions of others, well within the history. */
const BOOKMARK_INTERVAL = 1000;

export interface WatchSource {
  readonly connection: Connection;
  /** Beats after every change, by whichever process. */
  readonly pulse: Pulse;
  /** Aborted when the store closes. */
  readonly closing: AbortSignal;
  moment(tables: Tables): Moment;
}

interface Page {
  readonly events: readonly WatchEvent[];
  /** Everything of the kind up to here is in `events` or was in a page before. */
  readonly reached: number;
  readonly revision: Revision;
  readonly caughtUp: boolean;
}

/**
 * Reads the history from a cursor on, a page at a time, as fast as its consumer takes it. There is no buffer that could
 * overflow: a watcher falls behind exactly when the history it has not read yet is compacted, and is told so.
 */
export async function* watch(
  source: WatchSource,
  kind: Kind,
  from: Revision,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent, void> {
  checkKind(kind);
  const end = AbortSignal.any([signal, source.closing]);
  const opening = source.connection.openings;
  let cursor = from;
  let told = 0;
  while (!end.aborted) {
    const seen = source.pulse.beats;
    const page = await source.connection.read("watch", (tables): Page | string =>
      // A file restored from a backup counts its revisions from where the backup ends: they would repeat.
      source.connection.openings === opening ? readPage(source, tables, kind, cursor) : "the datastore was replaced",
    );
    if (typeof page === "string") {
      yield { type: "relist", reason: page };
      return;
    }
    for (const event of page.events) {
      if (end.aborted) return;
      yield event;
    }
    cursor = page.revision;
    if (told === 0 || page.events.length > 0) told = page.reached;
    if (!page.caughtUp) continue;
    if (page.reached - told >= BOOKMARK_INTERVAL) {
      told = page.reached;
      yield { type: "bookmark", revision: cursor };
    }
    await source.pulse.after(seen, end);
  }
}

/** The next page, or why there is none. */
function readPage(source: WatchSource, tables: Tables, kind: Kind, cursor: Revision): Page | string {
  const state = tables.state();
  const after = revisionNumber(state, cursor);
  if (after === undefined) return `revision ${cursor} is not one of this datastore`;
  if (after < state.compacted) return `the history up to revision ${state.compacted} is compacted`;
  const moment = source.moment(tables);
  const rows = tables.historyAfter(kind, after, PAGE);
  const last = rows.at(-1);
  const caughtUp = rows.length < PAGE || last === undefined;
  const reached = caughtUp ? state.revision : last.revision;
  return {
    events: rows.map((row) => watchEvent(moment, row)),
    reached,
    revision: revisionText(state, reached),
    caughtUp,
  };
}
