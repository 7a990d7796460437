import { TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { Problem } from "../../src/base/problem.ts";
import type { ExtensionCommand, PeerCommands, StateChange } from "../../src/model/node-state.ts";

/** A command that hangs must not keep every other peer from being served. Milliseconds. */
const timeout = 30_000;
/** A failed PreStartupCommand is run again. Milliseconds. */
const retryMs = 10_000;

/**
 * Runs the configured texts of backend extension, as root, by `sh -c`, one after another: an administrator's script may
 * assume that it is alone. Only constructed when --allow-extension-commands is given.
 */
export class ExtensionRunner {
  readonly #log: Log;
  readonly #served = new Map<string, { readonly add: string; readonly remove: ExtensionCommand | undefined }>();
  /** Peers whose SubnetAddCommand failed. */
  readonly #failed = new Map<string, PeerCommands>();
  readonly #problems = new Map<string, Problem>();
  readonly #changed: () => void;
  #started = false;
  #preStartup: { readonly shell: string; output?: string } | undefined;
  #tail: Promise<void> = Promise.resolve();

  constructor(log: Log, changed: () => void) {
    this.#log = log;
    this.#changed = changed;
  }

  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  /**
   * PreStartupCommand, once for each text of it, before the subnet is claimed. A failed one is run again after a while.
   * @returns what it printed, for the lease's BackendData; undefined while it has not succeeded.
   */
  preStartup(shell: string): string | undefined {
    if (this.#preStartup?.shell === shell) return this.#preStartup.output;
    const started: { readonly shell: string; output?: string } = { shell };
    this.#preStartup = started;
    const name = "PreStartupCommand";
    const run = async () => {
      started.output = (await this.#run(name, { shell, environment: {}, stdin: "\n" })).trim();
    };
    this.#queue(name, run, () => {
      setTimeout(() => {
        this.#preStartup = undefined;
        this.#changed();
      }, retryMs).unref();
    });
    void this.#tail.then(this.#changed);
    return undefined;
  }

  /** Queues what differs from what was run last, removals first. Failed commands are run again at the next change. */
  change({ own, peers }: StateChange): void {
    const postStartup = own?.commands?.postStartup;
    if (!this.#started && postStartup !== undefined) this.#queueCommand("PostStartupCommand", postStartup);
    this.#started = true;
    const gone = own === undefined ? [] : [...this.#served.keys()].filter((peer) => !peers.has(peer));
    const failed = own === undefined ? [...this.#failed].filter(([peer]) => !peers.has(peer)) : [];
    this.#failed.clear();
    const commands = [...failed, ...[...peers].map(([peer, state]) => [peer, state?.commands] as const)];
    for (const peer of gone) this.#remove(peer);
    for (const [peer, wanted] of commands) if (wanted === undefined) this.#remove(peer);
    for (const [peer, wanted] of commands) if (wanted !== undefined) this.#serve(peer, wanted);
  }

  /** Resolves when everything queued so far has run. */
  idle(): Promise<void> {
    return this.#tail;
  }

  #remove(peer: string): void {
    const remove = this.#served.get(peer)?.remove;
    this.#served.delete(peer);
    if (remove !== undefined) this.#queueCommand(`SubnetRemoveCommand for ${peer}`, remove);
  }

  #serve(peer: string, commands: PeerCommands): void {
    const { add, remove } = commands;
    const content = JSON.stringify(add ?? null);
    if (this.#served.get(peer)?.add === content) return;
    this.#served.set(peer, { add: content, remove });
    if (add === undefined) return;
    this.#queueCommand(`SubnetAddCommand for ${peer}`, add, () => {
      if (this.#served.get(peer)?.add !== content) return; // another is wanted meanwhile, or none
      this.#served.delete(peer);
      this.#failed.set(peer, commands);
    });
  }

  #queueCommand(what: string, command: ExtensionCommand, failed?: () => void): void {
    this.#queue(what, async () => void (await this.#run(what, command)), failed);
  }

  #queue(what: string, work: () => Promise<void>, failed: () => void = () => {}): void {
    this.#tail = this.#tail.then(async () => {
      try {
        await work();
        if (this.#problems.delete(what)) this.#changed();
      } catch (error) {
        failed();
        this.#log.error("extension command failed", { command: what, error });
        this.#problems.set(what, {
          severity: "error",
          subject: what,
          message: error instanceof Error ? error.message : String(error),
          remedy: "mend the command in the network configuration; it is run again at the next change",
        });
        this.#changed();
      }
    });
  }

  async #run(what: string, command: ExtensionCommand): Promise<string> {
    this.#log.info("running extension command", { command: what });
    const child = Bun.spawn(["sh", "-c", command.shell], {
      stdin: new TextEncoder().encode(command.stdin),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...command.environment },
      timeout,
      killSignal: "SIGKILL",
    });
    const [output, errors, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status === 0) return output;
    const last = errors.trim().split("\n").at(-1) ?? "";
    const reason = child.signalCode === "SIGKILL" ? `it ran longer than ${timeout / 1000} s` : `exit status ${status}`;
    throw new TwillError("io", `${reason}${last === "" ? "" : `: ${last.slice(0, 300)}`}`, {
      operation: "run",
      object: what,
    });
  }
}
