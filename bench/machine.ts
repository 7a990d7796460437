import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

/** What numbers of a benchmark depend on, in one line. */
export function machineFacts(): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? "unknown processor";
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown system";
  const [load = 0] = loadavg();
  return (
    `${new Date().toISOString().slice(0, 10)}, ${processors.length} × ${model}, ${gibibytes} GiB, Linux ${release()}, ` +
    `${system}, Bun ${Bun.version}; load average at the end ${load.toFixed(1)}`
  );
}
