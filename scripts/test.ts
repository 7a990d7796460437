/**
 * `npm test`: all tests, or those named: `npm test -- src/ipam test/lab`. Prints `N passed, N failed` last. A file that fails
 * is run once more, alone; if it passes then, the line before says `FLAKY` and its tests count as passed.
 * `npm run test:cluster`: those of test/cluster, which need Go and minutes: real Kubernetes is built for them, once.
 * Tests that touch the kernel make network namespaces of their own, so they need root, or a user namespace in which
 * we are root: without root this re-executes itself under util-linux's unshare.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mountTmpfs } from "../src/kernel/mount.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { build, isCurrent, root } from "./build.ts";
import { prepareCluster } from "./cluster/prepare.ts";
import { installPackages } from "./packages.ts";
import { type FileResult, judge, unreported } from "./test-report.ts";
import { runGroups, runTests, type TestRun } from "./test-run.ts";

const wanted = process.argv.slice(2).filter((argument) => argument !== "--cluster");
const cluster = process.argv.includes("--cluster");
const firstFlag = wanted.findIndex((argument) => argument.startsWith("-"));
const patterns = firstFlag < 0 ? wanted : wanted.slice(0, firstFlag);
/** For Bun: `npm test -- src/ipam -t pool`. */
const flags = firstFlag < 0 ? [] : wanted.slice(firstFlag);

installPackages();
// Not for a cluster: in a network namespace of its own nothing can be fetched to build it from.
if (process.getuid?.() !== 0 && !cluster) {
  const inside = Bun.spawnSync(
    [
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "--net",
      process.execPath,
      import.meta.path,
      ...process.argv.slice(2),
    ],
    { stdio: ["inherit", "inherit", "inherit"], env: { ...process.env, TWILL_TEST_INSIDE: "1" } },
  );
  process.exit(inside.exitCode);
}
if (process.env.TWILL_TEST_INSIDE !== undefined) {
  // Debian's CNI plugins keep files in /run, which belongs to the machine's root: in here it is another.
  mountTmpfs("/run");
  // Tests with servers of their own on localhost: a new network namespace has its lo down.
  openRtnl().do({ op: "link.set", index: 1, change: { up: true } });
}
if (!isCurrent()) build();
if (cluster) {
  await prepareCluster((line) => process.stderr.write(`twill: ${line}\n`));
}

const started = performance.now();
const files = testFiles(patterns);
const run: TestRun = {
  folder: root,
  flags: ["--timeout", "60000", ...flags],
  environment: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, TWILL_ROOT: root, TWILL_DIST: join(root, "dist") },
};
const first = await runGroups(cluster ? byCluster(files) : inGroups(files), run);
// What fails once and passes alone is a fault in the test, or in what it shares with others: said loudly, for it must be
// mended, but no reason to believe that the product is broken.
const alone = new Map<string, FileResult>();
for (const [file, { failed }] of first) {
  if (failed.length === 0 || !files.includes(file)) continue;
  process.stderr.write(`\ntwill: ${file} failed; once more, alone\n`);
  alone.set(file, (await runTests([file], run)).get(file) ?? unreported);
}
const { passed, failed, flaky } = judge(first, alone);
for (const line of flaky) process.stdout.write(`${line}\n`);
process.stdout.write(`${Math.round((performance.now() - started) / 1000)} s\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

/** Labs on the one hand, in two halves, and everything else on the other: each takes minutes, and most of it is waiting. */
function inGroups(files: readonly string[]): string[][] {
  const folders = ["test/insight/", "test/", ""];
  const groups = Map.groupBy(files, (file) => folders.find((folder) => file.startsWith(folder)) ?? "");
  return folders.flatMap((folder) => {
    const group = groups.get(folder);
    return group === undefined ? [] : [group];
  });
}

/** Those that share a cluster with nodes on the one hand, those that need an API server at most on the other. */
function byCluster(files: readonly string[]): string[][] {
  const shares = (file: string) => /from ".\/(?:cluster|life).fixture.ts"/.test(readFileSync(join(root, file), "utf8"));
  const groups = Map.groupBy(files, (file) => (shares(file) ? "nodes" : "server"));
  return (["nodes", "server"] as const).flatMap((group) => {
    const members = groups.get(group);
    return members === undefined ? [] : [members];
  });
}

/** Of the folders, or those whose path contains a pattern. */
function testFiles(patterns: readonly string[]): string[] {
  const folders = cluster ? ["test/cluster"] : ["src", "apps", "lab", "test", "scripts", "bench"];
  const all = folders.flatMap((folder) =>
    [...new Bun.Glob(`${folder}/**/*.test.ts`).scanSync({ cwd: root })].filter(
      (file) => cluster || !file.startsWith("test/cluster/"),
    ),
  );
  const wanted = patterns.map((pattern) => pattern.replace(/^\.\//, ""));
  const chosen = wanted.length === 0 ? all : all.filter((file) => wanted.some((pattern) => file.includes(pattern)));
  if (chosen.length > 0) return chosen.sort();
  process.stderr.write(`twill: no test file's path contains ${wanted.join(" or ")}\n`);
  process.exit(1);
}
