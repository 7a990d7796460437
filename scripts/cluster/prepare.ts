import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allPrograms, cacheDirectory, kubernetesBinary, type Program } from "../../lab/kubernetes/binaries.ts";
import { twillImage } from "../../lab/kubernetes/parts.ts";
import { distribution, executable } from "../build.ts";
import { imageArchive } from "../image/archive.ts";
import { packImage } from "../image.ts";

/** Images of one static program each. Names as Kubernetes' own manifests use them. */
const images = [
  { name: "registry.k8s.io/pause:3.10", program: "pause" },
  { name: "registry.k8s.io/e2e-test-images/agnhost:2.63.0", program: "agnhost" },
] as const;

/** Everything that `twill lab up --kubernetes` needs, built where it is missing: minutes once, then nothing. */
export async function prepareCluster(say: (line: string) => void): Promise<void> {
  requireRunc();
  await buildPrograms(allPrograms, say);
  for (const { name, program } of images) makeArchive(name, program);
  const image = join(distribution, twillImage);
  if (isNewer(image, executable)) return;
  say("packing the image …");
  writeWhole(image, packImage(executable).bytes);
}

export async function buildPrograms(programs: readonly Program[], say: (line: string) => void): Promise<void> {
  for (const [index, program] of programs.entries())
    await kubernetesBinary(program, (line) => say(`${line} (${index + 1} of ${programs.length})`));
}

/** The archive beside the program; made again when the program is newer. */
function makeArchive(name: string, program: string): void {
  const [source, archive] = [join(cacheDirectory(), program), join(cacheDirectory(), `${program}.tar`)];
  if (isNewer(archive, source)) return;
  const image = imageArchive({
    name,
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    entrypoint: [`/${program}`],
    labels: {},
    root: [
      { type: "file", path: program, mode: 0o755, content: readFileSync(source) },
      { type: "directory", path: "tmp", mode: 0o1777 },
    ],
  });
  writeWhole(archive, image.bytes);
}

const isNewer = (path: string, source: string): boolean =>
  existsSync(path) && statSync(path).mtimeMs > statSync(source).mtimeMs;

function writeWhole(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

/** Debian's: built from its Go module it lacks seccomp, which needs libseccomp and cgo. */
export function requireRunc(): void {
  if (Bun.which("runc", { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }) !== null) return;
  const apt = (...args: string[]) =>
    Bun.spawnSync(["apt-get", "-qq", "-y", ...args], { stdio: ["ignore", "ignore", "inherit"] }).exitCode;
  if (apt("update") !== 0 || apt("install", "--no-install-recommends", "runc") !== 0)
    throw new Error('runc is missing, and apt-get could not install it: run "apt-get install runc" as root');
}
