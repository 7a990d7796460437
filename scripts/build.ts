/**
 * dist/twill: one executable with Bun inside, and its other names beside it (hard links: the program finds its name in
 * argv0, and one file on disk is one copy in the page cache). And twill-cni, the launcher, a file of its own.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { launcherFile } from "../apps/cni/launcher/launcher.ts";
import { pluginName } from "../apps/install/plugin-file.ts";

export const root = join(import.meta.dir, "..");
export const distribution = join(root, "dist");
export const executable = join(distribution, "twill");
export const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
/** The last one makes `kubectl twill`: kubectl runs what it finds in PATH under this name. */
export const otherNames = ["twill-agent", "kubectl-twill"];
const sources = ["src", "apps", "lab"];

/** The poller's worker is an entry point of its own: a compiled program finds it by its path below the root. */
const entryPoints = ["apps/main.ts", "src/kernel/poller-worker.ts"];

function newestSource(folder: string): number {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestSource(path));
    else if (!entry.name.includes(".test.")) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

export function isCurrent(): boolean {
  const files = [executable, ...[...otherNames, pluginName].map((name) => join(distribution, name))];
  if (!files.every(existsSync)) return false;
  const built = statSync(executable).mtimeMs;
  const inputs = [...sources.map((folder) => newestSource(join(root, folder)))];
  for (const file of ["package.json", "package-lock.json", "scripts/build.ts"])
    inputs.push(statSync(join(root, file)).mtimeMs);
  return inputs.every((time) => time < built);
}

/** Another machine's executable is our code behind that machine's Bun. */
export interface CrossTarget {
  /** As Bun names it: "bun-linux-arm64". */
  readonly target: string;
  /** As Node names it: "arm64". */
  readonly architecture: string;
  /** Path of that machine's Bun. */
  readonly runtime: string;
}

/** Compiles beside the old executable and renames, so that a running twill keeps the file it was started from. */
export function build(folder = distribution, cross?: CrossTarget): void {
  mkdirSync(folder, { recursive: true });
  const target = join(folder, "twill");
  const fresh = `${target}.new`;
  const revision = Bun.spawnSync(["git", "describe", "--always", "--dirty"], { cwd: root, stderr: "ignore" })
    .stdout.toString()
    .trim();
  const result = Bun.spawnSync(
    [
      process.execPath,
      "build",
      "--compile",
      "--minify-syntax",
      "--minify-whitespace",
      "--bytecode",
      // A chunk for each dynamic import, so that a name loads its own code only: the CNI plugin starts in 6 ms instead of 9.
      "--splitting",
      "--format=esm",
      // The plugin is over before compiled code would pay; apps/main.ts sets the others back to 1.
      "--compile-jit-policy=100",
      // Nobody's .env or bunfig.toml in the directory of the moment may change what root's programs do.
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      ...(cross === undefined ? [] : [`--target=${cross.target}`, `--compile-executable-path=${cross.runtime}`]),
      "--define",
      `TWILL_VERSION=${JSON.stringify(version)}`,
      "--define",
      `TWILL_REVISION=${JSON.stringify(revision || "unknown")}`,
      ...entryPoints.filter((file) => existsSync(join(root, file))),
      "--outfile",
      fresh,
    ],
    { cwd: root, stdout: "pipe", stderr: "pipe" },
  );
  if (result.exitCode !== 0) {
    process.stderr.write(result.stdout.toString() + result.stderr.toString());
    throw new Error("the build failed; its messages are above");
  }
  renameSync(fresh, target);
  for (const name of otherNames) {
    // Renamed into place: somebody may be starting it at this moment.
    const path = join(folder, name);
    rmSync(`${path}.new`, { force: true });
    linkSync(target, `${path}.new`);
    renameSync(`${path}.new`, path);
  }
  const launcher = join(folder, pluginName);
  writeFileSync(`${launcher}.new`, launcherFile(cross?.architecture), { mode: 0o755 });
  renameSync(`${launcher}.new`, launcher);
}

if (import.meta.main) {
  build();
  process.stdout.write(`built ${executable} (${[...otherNames, pluginName].join(", ")} beside it)\n`);
}
