import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileResult, readReport, unreported } from "./test-report.ts";

export interface TestRun {
  /** Folder that the files' paths start from. */
  readonly folder: string;
  /** Further arguments for `bun test`. */
  readonly flags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Where its output goes, a file descriptor; without it, where ours goes. */
  readonly output?: number | "ignore";
}

/** Runs test files in one process, which prints as it goes (to stderr). @returns what came of each. */
export async function runTests(files: readonly string[], run: TestRun): Promise<ReadonlyMap<string, FileResult>> {
  const folder = mkdtempSync(join(tmpdir(), "twill-test-"));
  try {
    const report = join(folder, "report.xml");
    const output = run.output ?? "inherit";
    const child = Bun.spawn(
      [
        ...[process.execPath, "test", "--reporter=junit", `--reporter-outfile=${report}`, ...run.flags],
        ...files.map((file) => `./${file}`),
      ],
      { cwd: run.folder, stdio: ["ignore", output, output], env: { ...process.env, ...run.environment } },
    );
    const status = await child.exited;
    const reported = readReport(readIfThere(report));
    const results = new Map(files.map((file) => [file, reported.get(file) ?? (status === 0 ? empty : unreported)]));
    const failed = [...results.values()].some((result) => result.failed.length > 0);
    // Bun is not content, and no file is to blame.
    if (status !== 0 && !failed) results.set(`exit status ${status}`, unreported);
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The files in several processes at a time, for most wait more than they work. The first one prints as it goes, the others
 * when all are done.
 */
export async function runGroups(
  groups: readonly (readonly string[])[],
  run: TestRun,
): Promise<ReadonlyMap<string, FileResult>> {
  const folder = mkdtempSync(join(tmpdir(), "twill-test-"));
  try {
    const logs = groups.map((_, index) => join(folder, `${index}.log`));
    const results = await Promise.all(
      groups.map(async (files, index) => {
        if (index === 0 || run.output !== undefined) return await runTests(files, run);
        const output = openSync(logs[index] ?? "", "w", 0o600);
        try {
          return await runTests(files, { ...run, output });
        } finally {
          closeSync(output);
        }
      }),
    );
    if (run.output === undefined) for (const log of logs.slice(1)) process.stderr.write(readFileSync(log));
    return new Map(results.flatMap((result) => [...result]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of a file whose tests are all left out, by name or otherwise. */
const empty: FileResult = { passed: 0, failed: [] };

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process ended before it was written
  }
}
