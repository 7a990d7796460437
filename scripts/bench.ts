/**
 * `npm run bench`: everything that is measured, as ratios within one run. `npm run bench -- cni` runs one of them,
 * `--write` keeps its result in docs/performance.md, `--quick` takes a fifth of the rounds, `--programs FOLDER` measures
 * programs built elsewhere.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type BenchName, benches } from "../bench/all.ts";
import { machineFacts } from "../bench/machine.ts";
import { formatReport, type Report, withReport } from "../bench/report.ts";
import { build, distribution, isCurrent, root } from "./build.ts";
import { installPackages } from "./packages.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    programs: { type: "string", default: distribution },
  },
});

function chosen(): BenchName[] {
  const known = Object.keys(benches) as BenchName[];
  for (const name of positionals)
    if (!known.some((other) => other === name))
      throw new Error(`"${name}" is not a benchmark; there are ${known.join(", ")}`);
  return positionals.length === 0 ? known : known.filter((name) => positionals.includes(name));
}

function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

async function main(): Promise<void> {
  const names = chosen();
  if (process.getuid?.() !== 0) throw new Error("benchmarks make network namespaces and devices: run them as root");
  installPackages();
  if (values.programs === distribution && !isCurrent()) {
    progress("building dist/twill …");
    build();
  }
  const folder = mkdtempSync(join(tmpdir(), "twill-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

  for (const name of names) {
    const own = join(folder, name);
    mkdirSync(own);
    const scale = values.quick ? 0.2 : 1;
    const { title, about, run } = benches[name];
    const started = performance.now();
    const rows = await run({ programs: values.programs, folder: own, scale, progress });
    if (process.stderr.isTTY) progress("");
    const report = { name, title, about, rows, seconds: Math.round((performance.now() - started) / 1000) };
    process.stdout.write(`${formatReport(report)}\n`);
    const facts = machineFacts();
    process.stdout.write(`${facts}\n`);
    if (values.write) keep(report, facts);
  }
}

/** At once: the next one may take an hour, and fail. */
function keep(report: Report, facts: string): void {
  const path = join(root, "docs/performance.md");
  const page = existsSync(path) ? readFileSync(path, "utf8") : "";
  writeFileSync(path, withReport(page, report, facts, Object.keys(benches)));
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`twill bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
