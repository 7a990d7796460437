import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../../lab/kubernetes/binaries.ts";

/**
 * The files of Debian packages, unpacked and not installed: for programs that must not start on this machine. Once, then
 * kept beside the other programs. @returns the folder that stands for `/`.
 */
export function debianPackages(name: string, packages: readonly string[]): string {
  const folder = join(dirname(cacheDirectory()), "debian", name);
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const work = mkdtempSync(join(dirname(folder), ".new-"));
  const run = (...command: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(command, { cwd: work, timeout: 200_000 });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  };
  try {
    run("apt-get", "-qq", "update");
    run("apt-get", "-qq", "download", ...packages);
    const root = join(work, "root");
    for (const file of readdirSync(work).filter((each) => each.endsWith(".deb"))) run("dpkg-deb", "-x", file, root);
    renameSync(root, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}
