import { closeSync, openSync, readFileSync } from "node:fs";
import { TwillError } from "../src/base/errors.ts";
import { ownChild } from "./orphans.ts";

export interface LoggedProcessOptions {
  /** What its failure is called: operation and object of the error. */
  readonly operation: string;
  readonly object: string;
  readonly remedy?: string;
  /** The whole command line, entering the node included. */
  readonly command: readonly string[];
  readonly logPath: string;
  readonly environment: Record<string, string>;
}

/** A daemon of the lab. It may end by itself; nobody restarts it, so that what happened can be looked at. */
export class LoggedProcess {
  readonly #child: Bun.Subprocess;
  readonly #options: LoggedProcessOptions;

  constructor(options: LoggedProcessOptions) {
    this.#options = options;
    const log = openSync(options.logPath, "a", 0o600);
    try {
      this.#child = ownChild(
        Bun.spawn([...options.command], { stdio: ["ignore", log, log], env: options.environment }),
      );
    } finally {
      closeSync(log);
    }
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * @param missing what it is still waited for, in words; undefined once it is ready.
   * @throws TwillError `unavailable` with its last words, when it ends or takes too long.
   */
  async awaitReady(
    missing: () => Promise<string | undefined> | string | undefined,
    milliseconds: number,
    signal: AbortSignal,
    interval = 10,
  ): Promise<void> {
    const deadline = performance.now() + milliseconds;
    for (;;) {
      const waitedFor = await missing();
      if (waitedFor === undefined) return;
      signal.throwIfAborted();
      if (!this.isRunning) throw this.#failed("it ended");
      if (performance.now() > deadline) throw this.#failed(`${waitedFor} after ${milliseconds / 1000} s`);
      await Bun.sleep(interval);
    }
  }

  #failed(what: string): TwillError {
    const { operation, object, logPath, remedy } = this.#options;
    return new TwillError("unavailable", `${what}; the last it had to say:\n${this.lastLines(8)}`, {
      operation,
      object,
      remedy: remedy ?? `the whole log is ${logPath}`,
    });
  }

  lastLines(count: number): string {
    const lines = readFileSync(this.#options.logPath, "utf8").trimEnd().split("\n");
    return lines
      .slice(-count)
      .map((line) => `    ${line}`)
      .join("\n");
  }

  /** SIGTERM lets it clean up behind itself, SIGKILL is a crash. Resolves when it is gone. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (!this.isRunning) return;
    this.#child.kill(signal);
    const insist = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await this.#child.exited;
    clearTimeout(insist);
  }
}
