import { join } from "node:path";
import type { Commands } from "./worker.fixture.ts";

export interface Worker {
  readonly pid: number;
  /** Lets it begin. Workers that are told together compete. */
  go(): void;
  /** What it acknowledged so far. */
  readonly lines: readonly string[];
  /** Waits until so many lines were acknowledged, or it ended. */
  until(lines: number): Promise<void>;
  kill(): void;
  /** Its exit code (137: killed). */
  readonly ended: Promise<number>;
  /** As `ended`, but anything else than success is an error with what it wrote to its standard error. */
  done(): Promise<readonly string[]>;
}

/** Starts worker.fixture.ts and resolves once it has the datastore open. `wrapper`: a command to run it under. */
export async function spawnWorker<C extends keyof Commands>(
  url: string,
  command: C,
  options: Commands[C],
  wrapper: readonly string[] = [],
): Promise<Worker> {
  const script = join(import.meta.dir, "worker.fixture.ts");
  const child = Bun.spawn([...wrapper, process.execPath, script, url, command, JSON.stringify(options)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines: string[] = [];
  let opened = false;
  let wake = () => {};
  const changed = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  let over = false;
  const reading = (async () => {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) {
        if (opened) lines.push(line);
        else opened = true;
      }
      wake();
    }
    over = true;
    wake();
  })();
  const complaint = new Response(child.stderr).text();
  const ended = Promise.all([child.exited, reading]).then(([code]) => code);
  const waitFor = async (enough: () => boolean) => {
    while (!enough() && !over) await changed();
  };

  await waitFor(() => opened);
  if (!opened) throw new Error(`the worker could not open ${url}: ${await complaint}`);
  return {
    pid: child.pid,
    go: () => {
      child.stdin.write("go\n");
      child.stdin.flush();
    },
    lines,
    until: (count) => waitFor(() => lines.length >= count),
    kill: () => child.kill("SIGKILL"),
    ended,
    done: async () => {
      if ((await ended) !== 0) throw new Error(`the worker failed: ${await complaint}`);
      return lines;
    },
  };
}
