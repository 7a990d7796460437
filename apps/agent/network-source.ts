import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { describeError, isCode, TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { Random } from "../../src/base/random.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { Reflector } from "../../src/store/reflector.ts";
import type { SnapshotCache } from "../../src/store/snapshot.ts";
import { CONFIG, NETWORK } from "../kinds.ts";
import { readIfExists, writeAtomically } from "./files.ts";

/** Where the network's configuration comes from. An invalid one never replaces a good one; it is said instead. */
export interface NetworkSource {
  /** The last good one. */
  readonly network: ClusterNetwork | undefined;
  /** For people: a path, or "the datastore". */
  readonly name: string;
  /** Why the newest text is not in force. */
  readonly rejected: TwillError | undefined;
  /** Valid, but most likely not meant so. */
  readonly warnings: readonly Problem[];
  /**
   * What is written is meant for the cluster: always where all nodes read one text; where each has a file of its own, only
   * once somebody changed it, for a stale copy on one node must not lead the others back.
   */
  readonly isMeant: boolean;
  /** What is written is the cluster's target now. */
  adopted(): void;
  /** As it is stored now. @throws TwillError `unavailable`, or `invalid`. */
  read(): Promise<ClusterNetwork>;
  close(): Promise<void>;
}

export interface NetworkSourceOptions {
  readonly allowExtension: boolean;
  /** Where the datastore keeps it, for people. Absent: "the datastore". */
  readonly name?: string;
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const missing = (name: string): TwillError =>
  new TwillError("unavailable", "there is no network configuration yet", {
    operation: "read",
    object: name,
    remedy: "store one: twill config set net-conf.json",
  });

const notInForce = "the network configuration is not valid and not in force";

/** From the datastore, by watch. */
export function storedNetwork(store: Datastore, cache: SnapshotCache, options: NetworkSourceOptions): NetworkSource {
  const { name = "the datastore" } = options;
  let warnings: Problem[] = [];
  const parse = (value: Uint8Array): ClusterNetwork => {
    const found: Problem[] = [];
    const network = parseNetConf(value, {
      source: "network configuration",
      allowExtension: options.allowExtension,
      warn: (problem) => found.push(problem),
    });
    warnings = found;
    return network;
  };
  const reflector = new Reflector<ClusterNetwork | undefined>({
    store,
    kind: CONFIG,
    decode: (value, object) => (object === NETWORK ? parse(value) : undefined),
    clock: options.clock,
    random: options.random,
    log: options.log,
    cache,
    onChange: options.onChange,
    onUndecodable: (object, error) => {
      if (object === NETWORK && error !== undefined) options.log.error(notInForce, { error });
      options.onChange();
    },
  });
  return {
    name,
    get network() {
      return reflector.get(NETWORK);
    },
    get rejected() {
      return reflector.undecodable.get(NETWORK);
    },
    get warnings() {
      return warnings;
    },
    isMeant: true,
    adopted() {},
    /** By a list: that permission the agent has on its ConfigMap, to watch it, and needs no other. */
    async read() {
      const { objects } = await store.list(CONFIG);
      const stored = objects.find((object) => object.name === NETWORK);
      if (stored === undefined) throw missing(name);
      return parse(stored.value);
    },
    close: () => reflector.close(),
  };
}

/** Milliseconds between looks at the file, for what a watch does not show (network file systems, replaced folders). */
const lookEvery = 5_000;

/**
 * From a file, as flanneld's --net-config-path. The folder is watched, not the file: editors and ConfigMap volumes replace
 * it. The last good text is kept beside the agent's state, so that a restart with a broken file still has it.
 */
export class FileNetwork implements NetworkSource {
  readonly name: string;
  readonly #options: NetworkSourceOptions;
  readonly #lastGood: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #watcher: FSWatcher | undefined;
  #text: string | undefined;
  #network: ClusterNetwork | undefined;
  #rejected: TwillError | undefined;
  #warnings: readonly Problem[] = [];
  #edited = false;

  constructor(path: string, lastGood: string, options: NetworkSourceOptions) {
    this.name = path;
    this.#lastGood = lastGood;
    this.#options = options;
    this.#look();
    if (this.#network === undefined) this.#recall();
    this.#timer = setInterval(() => this.#look(), lookEvery);
    this.#timer.unref();
    try {
      this.#watcher = watch(dirname(path), (_event, file) => {
        if (file === null || file === basename(path) || file.startsWith("..")) this.#look();
      });
      this.#watcher.unref();
    } catch {
      // The timer looks.
    }
  }

  get network(): ClusterNetwork | undefined {
    return this.#network;
  }
  get rejected(): TwillError | undefined {
    return this.#rejected;
  }
  get warnings(): readonly Problem[] {
    return this.#warnings;
  }
  get isMeant(): boolean {
    return this.#edited;
  }

  adopted(): void {
    this.#edited = false;
  }

  read(): Promise<ClusterNetwork> {
    this.#look();
    if (this.#network !== undefined) return Promise.resolve(this.#network);
    return Promise.reject(this.#rejected ?? missing(this.name));
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher?.close();
    return Promise.resolve();
  }

  #look(): void {
    let text: string | undefined;
    try {
      text = readIfExists(this.name);
    } catch (error) {
      if (error instanceof TwillError) this.#reject(error);
      return;
    }
    if (text === this.#text) return;
    this.#text = text;
    if (text === undefined) {
      this.#reject(
        new TwillError("not-found", "the file is gone", {
          operation: "read",
          object: this.name,
          remedy: "put it back",
        }),
      );
      return;
    }
    try {
      const warnings: Problem[] = [];
      this.#network = parseNetConf(text, {
        source: this.name,
        allowExtension: this.#options.allowExtension,
        warn: (problem) => warnings.push(problem),
      });
      this.#warnings = warnings;
      this.#rejected = undefined;
      const before = readIfExists(this.#lastGood);
      if (before !== undefined && before !== text) this.#edited = true;
      writeAtomically(this.#lastGood, text, { mode: 0o600 });
    } catch (error) {
      if (!isCode(error, "invalid"))
        this.#options.log.warn("the last good configuration cannot be kept", { error: describeError(error) });
      else this.#reject(error);
    }
    this.#options.onChange();
  }

  #reject(error: TwillError): void {
    if (this.#rejected?.describe() === error.describe()) return;
    this.#rejected = error;
    this.#options.log.error(notInForce, { error });
    this.#options.onChange();
  }

  #recall(): void {
    const text = readIfExists(this.#lastGood);
    if (text === undefined) return;
    try {
      this.#network = parseNetConf(text, { source: this.#lastGood, allowExtension: this.#options.allowExtension });
    } catch (error) {
      if (!isCode(error, "invalid")) throw error;
      this.#options.log.warn("the kept configuration is not valid any more", { error });
    }
  }
}
