/**
 * The version before this one, built from the git history: what tests of rolling updates run beside today's. It bears a version
 * of its own, so that both are in a node's image store.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../lab/kubernetes/binaries.ts";
import { root } from "../build.ts";

/** Of the last release, once there is one; until then, of the first state that had Kubernetes' Nodes as its leases. */
const commit = "22910b0cc737881e8aec28d30c12b40dc20100fa";
const version = "0.0.9";

export interface PreviousVersion {
  readonly image: string;
  /** The image as a file, for `ctr images import`. */
  readonly archive: string;
  /** Its deploy/twill.yaml, naming that image. */
  readonly manifest: string;
}

/** Built once and kept. A clone without the history (of depth 1) has today's state as the version before, and says so. */
export function previousVersion(say: (line: string) => void): PreviousVersion {
  const known = git("rev-parse", "--verify", "--quiet", `${commit}^{commit}`) !== undefined;
  if (!known) say(`the commit of the version before (${commit}) is not in this clone: HEAD takes its place`);
  const from = known ? commit : (git("rev-parse", "HEAD") ?? "HEAD");
  const folder = join(cacheDirectory(), "..", `previous-${from.slice(0, 12)}`);
  const previous = {
    image: `localhost/twill:${version}`,
    archive: join(folder, "twill-image.tar"),
    manifest: join(folder, "twill.yaml"),
  };
  if (existsSync(previous.manifest)) return previous;
  say(`building the version before (${from.slice(0, 12)}) …`);
  mkdirSync(folder, { recursive: true });
  const source = mkdtempSync("/tmp/twill-previous-");
  try {
    must("sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh", root, from, source);
    const about = JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as { version: string };
    writeFileSync(join(source, "package.json"), JSON.stringify({ ...about, version }));
    symlinkSync(join(root, "node_modules"), join(source, "node_modules"));
    must(process.execPath, join(source, "scripts/image.ts"), "--output", previous.archive);
    const manifest = readFileSync(join(source, "deploy/twill.yaml"), "utf8");
    writeFileSync(`${previous.manifest}.new`, manifest.replaceAll(`localhost/twill:${about.version}`, previous.image));
    renameSync(`${previous.manifest}.new`, previous.manifest);
  } finally {
    rmSync(source, { recursive: true });
  }
  return previous;
}

function git(...args: string[]): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["git", "-C", root, ...args], { stderr: "ignore" });
  return exitCode === 0 ? stdout.toString().trim() : undefined;
}

function must(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} failed:\n${stderr.toString().slice(-2000)}`);
}
