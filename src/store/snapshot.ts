import { readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { describeError, TwillError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { ensureDirectory, errnoCode, syncDirectory } from "./directory.ts";
import type { JsonObject } from "./versioned.ts";

/** The last known objects of one kind, as they were stored. */
export interface Snapshot {
  /** Wall-clock milliseconds at which they were known to be so. */
  readonly savedAt: number;
  readonly objects: readonly { readonly name: string; readonly value: Uint8Array }[];
}

/** Where a reflector keeps what it knows, for the time when the datastore is away. */
export interface SnapshotCache {
  /** Undefined when there is none, or none that can be trusted. Never throws. */
  load(): Snapshot | undefined;
  /** What is to be kept has changed; `take` is called when it is written, some time later. */
  changed(take: () => Snapshot): void;
  /** Instead, where the cache can: these have changed; undefined: gone. Empty: it is known that there are none. */
  keep?(changes: ReadonlyMap<string, Uint8Array | undefined>): void;
}

export interface SnapshotOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds without a change before it is written… */
  readonly quiet?: number;
  /** …but no longer than this after the first. */
  readonly longest?: number;
}

const FORMAT = "twill-snapshot";
const VERSION = 1;

/**
 * A snapshot in a file: a line of JSON with format, version, size and SHA-256, then the objects as JSON. Written beside
 * and renamed, so that a crash leaves the old or the new one; a damaged one is reported and ignored.
 */
export class SnapshotFile implements SnapshotCache {
  readonly path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #quiet: number;
  readonly #longest: number;
  #take: (() => Snapshot) | undefined;
  #lastChange = 0;
  #writing: Promise<void> | undefined;
  #hurry = new AbortController();

  constructor(path: string, options: SnapshotOptions) {
    this.path = path;
    this.#clock = options.clock;
    this.#log = options.log.with({ snapshot: path });
    this.#quiet = options.quiet ?? 1000;
    this.#longest = options.longest ?? 10_000;
  }

  load(): Snapshot | undefined {
    try {
      return decodeSnapshot(readFileSync(this.path), this.path);
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") {
        this.#log.warn("the cached state cannot be used and is ignored", { error: describeError(error) });
      }
      return undefined;
    }
  }

  changed(take: () => Snapshot): void {
    this.#take = take;
    this.#lastChange = this.#clock.monotonic();
    this.#writing ??= this.#write();
  }

  /** Writes now what is waiting to be written. A failure is logged, not thrown: the cache is a convenience. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    await this.#writing;
    this.#hurry = new AbortController();
  }

  async #write(): Promise<void> {
    let failed = false;
    do {
      await this.#settle();
      const take = this.#take;
      this.#take = undefined;
      failed = take !== undefined && !(await this.#replace(take));
      if (failed) {
        this.#take ??= take;
        await this.#clock.sleep(this.#longest, this.#hurry.signal);
      }
    } while (this.#take !== undefined && !(failed && this.#hurry.signal.aborted));
    this.#writing = undefined;
  }

  /** Waits until changes pause, but not for ever. */
  async #settle(): Promise<void> {
    const started = this.#clock.monotonic();
    while (!this.#hurry.signal.aborted) {
      const due = Math.min(this.#lastChange + this.#quiet, started + this.#longest);
      const left = due - this.#clock.monotonic();
      if (left <= 0) return;
      await this.#clock.sleep(left, this.#hurry.signal);
    }
  }

  async #replace(take: () => Snapshot): Promise<boolean> {
    try {
      await replaceFile(this.path, encodeSnapshot(take()));
      return true;
    } catch (error) {
      this.#log.warn("cannot cache the state: a restart with the datastore away would begin with an older one", {
        error: describeError(error),
      });
      return false;
    }
  }
}

export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const objects = snapshot.objects.map(({ name, value }) => ({ name, value: Buffer.from(value).toString("base64") }));
  const body = new TextEncoder().encode(JSON.stringify({ savedAt: snapshot.savedAt, objects }));
  const header = JSON.stringify({ format: FORMAT, version: VERSION, bytes: body.length, sha256: sha256(body) });
  return Buffer.concat([Buffer.from(`${header}\n`), body]);
}

/** @throws TwillError `corrupt`, or `unsupported` for one of a later Twill. */
export function decodeSnapshot(bytes: Uint8Array, path: string): Snapshot {
  const corrupt = (why: string, cause?: unknown) =>
    new TwillError("corrupt", why, {
      operation: "read snapshot",
      object: path,
      ...(cause === undefined ? {} : { cause }),
    });
  const end = bytes.indexOf(0x0a);
  if (end < 0) throw corrupt("has no header");
  const header = parse(bytes.subarray(0, end), corrupt);
  if (header.format !== FORMAT) throw corrupt("is not a snapshot");
  if (header.version !== VERSION) {
    throw new TwillError("unsupported", `has version ${header.version}; this Twill reads ${VERSION}`, {
      operation: "read snapshot",
      object: path,
      remedy: "nothing needs to be done: it is written anew once the datastore is reached",
    });
  }
  const body = bytes.subarray(end + 1);
  if (header.bytes !== body.length) throw corrupt(`has ${body.length} bytes instead of ${header.bytes}`);
  if (header.sha256 !== sha256(body)) throw corrupt("has a wrong checksum");
  const { savedAt, objects } = parse(body, corrupt);
  if (typeof savedAt !== "number" || !Array.isArray(objects)) throw corrupt("has no objects");
  return {
    savedAt,
    objects: objects.map((object: JsonObject | null) => {
      if (typeof object?.name !== "string" || typeof object.value !== "string") throw corrupt("has a broken object");
      return { name: object.name, value: new Uint8Array(Buffer.from(object.value, "base64")) };
    }),
  };
}

function parse(bytes: Uint8Array, corrupt: (why: string, cause: unknown) => TwillError): JsonObject {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof value === "object" && value !== null) return value as JsonObject;
    throw new TypeError("not an object");
  } catch (cause) {
    throw corrupt("is not JSON", cause);
  }
}

const sha256 = (bytes: Uint8Array): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** Old or new, never half, also over a power cut: sync the file, rename it over the old one, sync the directory. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  ensureDirectory(dirname(path));
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
