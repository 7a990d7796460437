import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { TwillError } from "../src/base/errors.ts";

/** The agent of one node. It may end by itself; nobody restarts it, so that what happened can be looked at. */
export class AgentProcess {
  readonly #child: Bun.Subprocess;
  readonly #logPath: string;
  readonly #node: string;

  /** @param command the whole command line, entering the node included. */
  constructor(node: string, command: readonly string[], logPath: string, environment: Record<string, string>) {
    this.#node = node;
    this.#logPath = logPath;
    const log = openSync(logPath, "a", 0o600);
    try {
      this.#child = Bun.spawn([...command], { stdio: ["ignore", log, log], env: environment });
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

  /** Waits until all of these files are there. @throws TwillError `unavailable` when the agent ends or takes too long. */
  async awaitFiles(paths: readonly string[], milliseconds: number, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + milliseconds;
    for (;;) {
      const missing = paths.filter((path) => !existsSync(path));
      if (missing.length === 0) return;
      signal.throwIfAborted();
      if (!this.isRunning) throw this.#failed("it ended");
      if (performance.now() > deadline)
        throw this.#failed(`${missing.join(", ")} did not appear in ${milliseconds / 1000} s`);
      await Bun.sleep(10);
    }
  }

  #failed(what: string): TwillError {
    return new TwillError("unavailable", `${what}; the last it had to say:\n${this.lastLines(8)}`, {
      operation: "start agent",
      object: this.#node,
      remedy: "more with --agent-flag=--log-level=debug",
    });
  }

  lastLines(count: number): string {
    const lines = readFileSync(this.#logPath, "utf8").trimEnd().split("\n");
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
