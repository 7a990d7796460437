/** What came of the tests of one file. */
export interface FileResult {
  readonly passed: number;
  /** Names of the tests that failed, as Bun prints them: "group > test". */
  readonly failed: readonly string[];
}

/** Of a file that Bun does not report: it could not be loaded, or the process ended in the middle. */
export const unreported: FileResult = { passed: 0, failed: ["(it did not run to its end)"] };

const element = /<(\/?)([a-z]+)((?:\s+[\w-]+="[^"]*")*)\s*(\/?)>/g;
const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** The results of Bun's `--reporter=junit`, by file, with the paths that it was given. Skipped tests count as neither. */
export function readReport(xml: string): ReadonlyMap<string, FileResult> {
  const files = new Map<string, { passed: number; failed: string[] }>();
  let test: { readonly file: string; readonly name: string; outcome: "passed" | "failed" | "skipped" } | undefined;
  for (const [, closing, name = "", attributes = "", closed] of xml.matchAll(element)) {
    if (name === "testcase" && closing === "") {
      const names = [attribute(attributes, "classname"), attribute(attributes, "name")];
      test = {
        ...{ file: attribute(attributes, "file"), outcome: "passed" },
        name: names.filter((part) => part !== "").join(" > "),
      };
    }
    if (test === undefined) continue;
    if (name === "skipped") test.outcome = "skipped";
    if (name === "failure" || name === "error") test.outcome = "failed";
    if (name !== "testcase" || (closing === "" && closed === "")) continue;
    const result = files.get(test.file) ?? { passed: 0, failed: [] };
    files.set(test.file, result);
    if (test.outcome === "passed") result.passed++;
    if (test.outcome === "failed") result.failed.push(test.name);
    test = undefined;
  }
  return files;
}

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return value.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, entity) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return entities[entity] ?? whole;
  });
}

/** A run's outcome, after the files that failed had a second chance, each alone. */
export interface Verdict {
  readonly passed: number;
  readonly failed: number;
  /** One line for each file that failed among others and passed alone. */
  readonly flaky: readonly string[];
}

/** @param alone what came of the files that failed, when each was run alone. */
export function judge(first: ReadonlyMap<string, FileResult>, alone: ReadonlyMap<string, FileResult>): Verdict {
  let [passed, failed] = [0, 0];
  const flaky: string[] = [];
  for (const [file, result] of first) {
    const again = alone.get(file);
    const recovered = result.failed.length > 0 && again !== undefined && again.failed.length === 0;
    const counts = recovered ? again : result;
    passed += counts.passed;
    failed += counts.failed.length;
    if (recovered) flaky.push(`FLAKY: ${file} (failed among others, passed alone): ${result.failed.join("; ")}`);
  }
  return { passed, failed, flaky };
}
