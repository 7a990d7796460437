import { describeError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Decision, DecisionNumber } from "../../../src/model/policy-state.ts";
import { readIfExists, writeAtomically } from "../files.ts";

const version = 1;
/** Policies come in bursts. What is killed sooner has forgotten what some numbers meant, and gives them to nothing else. Milliseconds. */
const delayMs = 500;

/**
 * What the numbers of decisions mean that the kernel's rules and connections bear, for the agent after this one. They live in the
 * kernel, so they are over with the boot, and nothing needs to reach the disk.
 */
export class DecisionFile {
  readonly #path: string;
  readonly #boot: string;
  readonly #log: Log;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #take: (() => ReadonlyMap<DecisionNumber, Decision>) | undefined;

  constructor(path: string, boot: string, log: Log) {
    this.#path = path;
    this.#boot = boot;
    this.#log = log;
  }

  /** Empty when there is none of this boot, or none that can be read. */
  load(): ReadonlyMap<DecisionNumber, Decision> {
    try {
      const read = JSON.parse(readIfExists(this.#path) ?? "{}") as Partial<Written>;
      // Written by this class into a folder that only root can write.
      return new Map(read.version === version && read.boot === this.#boot ? read.decisions : []);
    } catch (error) {
      this.#log.warn("what decisions' numbers meant cannot be read", { error: describeError(error) });
      return new Map();
    }
  }

  /** @param take called when it is written, a moment later. */
  changed(take: () => ReadonlyMap<DecisionNumber, Decision>): void {
    this.#take = take;
    this.#timer ??= setTimeout(() => this.flush(), delayMs);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const take = this.#take;
    this.#take = undefined;
    if (take === undefined) return;
    const written: Written = { version, boot: this.#boot, decisions: [...take()] };
    try {
      writeAtomically(this.#path, JSON.stringify(written), { mode: 0o600, sync: false });
    } catch (error) {
      this.#log.warn("what decisions' numbers mean cannot be written down", { error: describeError(error) });
    }
  }
}

interface Written {
  readonly version: number;
  readonly boot: string;
  readonly decisions: readonly (readonly [DecisionNumber, Decision])[];
}
