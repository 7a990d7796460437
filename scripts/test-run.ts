import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileResult, readReport, unreported } from "./test-report.ts";

export interface TestRun {
  /** Folder that the files' paths start from. */
  readonly folder: string;
  /** Further arguments for `bun test`. */
  readonly flags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Prints nothing. */
  readonly quiet?: boolean;
}

/** Runs test files in one process, which prints as it goes (to stderr). @returns what came of each. */
export async function runTests(files: readonly string[], run: TestRun): Promise<ReadonlyMap<string, FileResult>> {
  const folder = mkdtempSync(join(tmpdir(), "twill-test-"));
  try {
    const report = join(folder, "report.xml");
    const output = run.quiet === true ? "ignore" : "inherit";
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

/** Of a file whose tests are all left out, by name or otherwise. */
const empty: FileResult = { passed: 0, failed: [] };

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process ended before it was written
  }
}
