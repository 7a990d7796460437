/**
 * `npm run mutations [-- WORD]`: breaks each rule of test/oracle/mutations.ts once (those that contain the word), in a copy of the tree, and
 * sees a test fail. Exit status 1 when one survives, or is not to be found in its file any more. Takes about ten seconds each.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Mutation, mutations } from "../test/oracle/mutations.ts";
import { root } from "./build.ts";

const oracle = "test/oracle/compiled.test.ts";
const updates = "test/oracle/incremental.test.ts";
const matrix = "test/conformance/bare.test.ts";
/** Milliseconds for one mutation's tests. Endless loops are a failure, too. */
const patience = 240_000;

const word = process.argv[2] ?? "";
const wanted = mutations.filter(({ rule, file }) => rule.includes(word) || file.includes(word));
const copy = mkdtempSync(join(tmpdir(), "twill-mutations-"));
const problems: string[] = [];
try {
  for (const part of ["src", "test", "lab", "apps", "package.json", "tsconfig.json"]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  for (const [index, mutation] of wanted.entries()) {
    const result = await tryOne(mutation);
    const line = `${index + 1} of ${wanted.length}: ${mutation.rule} (${mutation.file}): ${result.text}`;
    process.stdout.write(`${line}\n`);
    if (!result.noticed) problems.push(line);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.stdout.write(`${wanted.length - problems.length} of ${wanted.length} noticed\n${problems.join("\n")}\n`);
process.exit(problems.length === 0 ? 0 : 1);

async function tryOne(mutation: Mutation): Promise<{ readonly noticed: boolean; readonly text: string }> {
  const path = join(copy, mutation.file);
  const whole = readFileSync(path, "utf8");
  if (whole.split(mutation.from).length !== 2) return { noticed: false, text: "STALE: not there exactly once" };
  writeFileSync(
    path,
    whole.replace(mutation.from, () => mutation.to),
  );
  try {
    for (const test of testsOf(mutation.file))
      if (!(await passes(test))) return { noticed: true, text: `noticed by ${test}` };
    return { noticed: false, text: "SURVIVED" };
  } finally {
    writeFileSync(path, whole);
  }
}

/** The cheapest first. */
function testsOf(file: string): readonly string[] {
  const folder = file.slice(0, file.lastIndexOf("/"));
  if (folder === "src/render/policy") return ["test/oracle/rendered.test.ts", updates, folder, matrix];
  return [oracle, updates, ...(folder === "src/model" ? [] : [folder]), matrix];
}

async function passes(test: string): Promise<boolean> {
  const child = Bun.spawn([process.execPath, "test", "--bail", "--timeout", "200000", test], {
    cwd: copy,
    stdout: "ignore",
    stderr: "ignore",
    timeout: patience,
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  return (await child.exited) === 0;
}
