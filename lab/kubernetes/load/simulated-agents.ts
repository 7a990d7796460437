import { join } from "node:path";

/** What an agent says happened. `at`: wall clock, milliseconds. */
export type Told =
  | { readonly event: "list"; readonly at: number }
  | { readonly event: "synced" | "lost"; readonly at: number; readonly nodes: number }
  /** A single node changed, as far as an agent is concerned. */
  | { readonly event: "put" | "delete"; readonly at: number; readonly name: string };

/** Bun sends 256 requests at once if nobody says otherwise, and a watch is one. */
const requestsAtOnce = "65535";

/** Many agents in few processes. They end with this one. */
export class SimulatedAgents {
  readonly count: number;
  readonly #processes: readonly Bun.Subprocess<"ignore", "pipe", "inherit">[];
  #told: Told[] = [];
  #synced = 0;

  /** @param kubeconfig whom the API server takes all of them for. */
  constructor(kubeconfig: string, count: number, processes: number) {
    this.count = count;
    const share = Math.ceil(count / processes);
    this.#processes = Array.from({ length: processes }, (_, index) => {
      const size = Math.min(share, count - index * share);
      const script = join(import.meta.dir, "simulated-agents-process.ts");
      const command = [process.execPath, script, kubeconfig, String(index * share), String(size)];
      return Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], {
        stdio: ["ignore", "pipe", "inherit"],
        env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: requestsAtOnce },
      });
    });
    for (const child of this.#processes) void this.#read(child.stdout);
  }

  /** Since the last forget(). */
  get told(): readonly Told[] {
    return this.#told;
  }
  forget(): void {
    this.#told = [];
  }

  /** Agents whose copy of the cluster is current, as far as they know. */
  get synced(): number {
    return this.#synced;
  }

  /** @throws Error after so many milliseconds. */
  async until(what: string, holds: () => boolean, patience: number): Promise<void> {
    const deadline = performance.now() + patience;
    while (!holds()) {
      if (this.#processes.some(({ exitCode }) => exitCode !== null)) throw new Error("simulated agents ended");
      if (performance.now() > deadline)
        throw new Error(`not after ${patience / 1000} s: ${what} (${this.#synced} synced)`);
      await Bun.sleep(20);
    }
  }

  async stop(): Promise<void> {
    for (const child of this.#processes) child.kill("SIGKILL");
    await Promise.all(this.#processes.map(({ exited }) => exited));
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#note(JSON.parse(line) as Told);
    }
  }

  #note(told: Told): void {
    this.#told.push(told);
    if (told.event === "synced") this.#synced++;
    if (told.event === "lost") this.#synced--;
  }
}

/** How many of these moments, in milliseconds, lie within the second that has the most. */
export const mostInASecond = (times: readonly number[]): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + 1000).length));
