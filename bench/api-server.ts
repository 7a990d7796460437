import { join } from "node:path";
import { kubernetesBinary } from "../lab/kubernetes/binaries.ts";
import { Namespace } from "./namespace.ts";
import type { Figure } from "./report.ts";
import type { Bench } from "./run.ts";

/** What bench/api-server-process.ts prints, a line each. */
export type Line = { readonly progress: string } | { readonly row: Figure };

/**
 * API server, simulated nodes and agents, and one real agent are in one network namespace of their own: the real one
 * makes its devices and routes there.
 */
export async function benchApiServer({ programs, folder, progress, scale }: Bench): Promise<Figure[]> {
  for (const program of ["etcd", "kube-apiserver"] as const) await kubernetesBinary(program, progress);
  const netns = new Namespace();
  const command = [process.execPath, join(import.meta.dir, "api-server-process.ts"), programs, folder, String(scale)];
  const child = netns.enter(() =>
    Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  const rows: Figure[] = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.map((text) => JSON.parse(text) as Line))
      if ("row" in line) rows.push(line.row);
      else progress(line.progress);
  }
  netns.close();
  if ((await child.exited) !== 0) throw new Error("the benchmark's process in the namespace failed");
  return rows;
}
