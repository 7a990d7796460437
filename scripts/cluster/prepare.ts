import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allPrograms, cacheDirectory, kubernetesBinary } from "../../lab/kubernetes/binaries.ts";
import type { KubernetesParams } from "../../lab/kubernetes/settings.ts";
import { imageArchive } from "../image/archive.ts";

/** Images of one static program each. Names as Kubernetes' own manifests use them. */
const images = [
  { name: "registry.k8s.io/pause:3.10", program: "pause" },
  { name: "registry.k8s.io/e2e-test-images/agnhost:2.63.0", program: "agnhost" },
] as const;

/** Everything that a lab with Kubernetes needs, built where it is missing: 8 minutes once on 2 cores, then nothing. */
export async function prepareCluster(say: (line: string) => void): Promise<KubernetesParams> {
  requireRunc();
  for (const [index, program] of allPrograms.entries())
    await kubernetesBinary(program, (line) => say(`${line} (${index + 1} of ${allPrograms.length})`));
  return { binaries: cacheDirectory(), images: images.map(({ name, program }) => archiveOf(name, program)) };
}

/** The archive beside the program; made again when the program is newer. */
function archiveOf(name: string, program: string): string {
  const [source, archive] = [join(cacheDirectory(), program), join(cacheDirectory(), `${program}.tar`)];
  if (existsSync(archive) && statSync(archive).mtimeMs > statSync(source).mtimeMs) return archive;
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
  writeFileSync(`${archive}.new`, image.bytes);
  renameSync(`${archive}.new`, archive);
  return archive;
}

/** Debian's: built from its Go module it lacks seccomp, which needs libseccomp and cgo. */
export function requireRunc(): void {
  if (Bun.which("runc", { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }) !== null) return;
  const apt = (...args: string[]) =>
    Bun.spawnSync(["apt-get", "-qq", "-y", ...args], { stdio: ["ignore", "ignore", "inherit"] }).exitCode;
  if (apt("update") !== 0 || apt("install", "--no-install-recommends", "runc") !== 0)
    throw new Error('runc is missing, and apt-get could not install it: run "apt-get install runc" as root');
}
