import { closeSync, type FSWatcher, openSync, statSync, utimesSync, watch } from "node:fs";
import { errnoCode } from "../directory.ts";

/**
 * The change notice between processes: an empty file beside the database whose times every writer sets after its
 * commit, and that every reader watches (inotify, IN_ATTRIB: 0.1 ms). It works across network, mount and PID
 * namespaces as long as they share the file, and setting times needs no free space. A file of its own, for watching
 * opens it: closing any descriptor of the database itself would drop this process's locks on it (fcntl(2)).
 *
 * A notice may be lost (a writer killed between commit and ring, no inotify instances left): who listens also looks
 * at long intervals.
 */
export function bellPath(database: string): string {
  return `${database}-bell`;
}

/** Never throws: the change is committed already, and readers also look by themselves. */
export function ring(database: string): void {
  const path = bellPath(database);
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") makeBell(path);
  }
}

/** Calls `heard` for every ring by any process, until closed. One inotify watch per file and process, however many listen. */
export function listen(database: string, heard: () => void): Listener {
  const path = bellPath(database);
  const shared = bells.get(path) ?? new SharedWatch(path);
  bells.set(path, shared);
  shared.listeners.add(heard);
  shared.arm();
  return {
    rearm: () => shared.arm(),
    close: () => {
      shared.listeners.delete(heard);
      if (shared.listeners.size > 0) return;
      shared.disarm();
      bells.delete(path);
    },
  };
}

export interface Listener {
  /** Watches anew when the file was replaced or watching had failed. False: only looking by oneself is left. */
  rearm(): boolean;
  close(): void;
}

/** Which bells this process listens to: inotify watches are a scarce resource of the whole machine. */
const bells = new Map<string, SharedWatch>();

export const watchedBells = (): number => bells.size;

class SharedWatch {
  readonly listeners = new Set<() => void>();
  readonly #path: string;
  #watcher: FSWatcher | undefined;
  #inode: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  arm(): boolean {
    const inode = statSync(this.#path, { throwIfNoEntry: false })?.ino;
    if (this.#watcher !== undefined && inode === this.#inode) return true;
    this.disarm();
    if (inode === undefined) makeBell(this.#path);
    try {
      const watcher = watch(this.#path, () => {
        for (const heard of [...this.listeners]) heard();
      });
      watcher.on("error", () => this.disarm());
      this.#watcher = watcher;
      this.#inode = statSync(this.#path, { throwIfNoEntry: false })?.ino;
      return true;
    } catch {
      return false; // ENOSPC, EMFILE: fs.inotify.max_user_watches or max_user_instances is used up
    }
  }

  disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

function makeBell(path: string): void {
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // A full or read-only file system: readers look by themselves.
  }
}
