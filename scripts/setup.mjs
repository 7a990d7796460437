// Plain JavaScript for plain Node: this runs before anything is installed.
// Makes sure that the pinned Bun and the other npm packages are there, and returns Bun's path.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The installed packages are those of the lock file (npm keeps its own copy of what it installed). */
function packagesAreCurrent() {
  try {
    const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    const installed = JSON.parse(readFileSync(join(root, "node_modules/.package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(
      ([path, entry]) => path === "" || entry.optional || installed[path]?.version === entry.version,
    );
  } catch {
    return false;
  }
}

/** npm may be told not to run install scripts, so Bun's launcher may still be a stub: then its own installer finishes the work. */
function bunPath() {
  const bun = join(root, "node_modules/bun/bin/bun.exe");
  const runs = () => existsSync(bun) && spawnSync(bun, ["--version"], { stdio: "ignore" }).status === 0;
  if (!runs()) execFileSync(process.execPath, [join(root, "node_modules/bun/install.js")], { stdio: "inherit" });
  if (!runs()) throw new Error(`${bun} does not run on this machine (${process.platform} ${process.arch})`);
  return bun;
}

export function setup() {
  if (!packagesAreCurrent()) {
    process.stderr.write("twill: fetching Bun and the development tools with npm ci …\n");
    const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: root,
      stdio: ["ignore", "ignore", "inherit"],
    });
    if (npm.status !== 0) throw new Error("npm ci failed; its message is above");
  }
  return bunPath();
}
