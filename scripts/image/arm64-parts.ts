/**
 * What an arm64 image needs that this machine does not have: that machine's Bun, from npm, with the hash of package-lock.json,
 * and its libc, from Debian's libc6-arm64-cross. Kept in node_modules/.cache, which a fresh `npm ci` empties.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "../build.ts";
import type { Sysroot } from "./root.ts";

const runtimePackage = "@oven/bun-linux-aarch64";
const libcPackage = "libc6-arm64-cross";

export interface Parts {
  /** Path of the other machine's Bun. */
  readonly runtime: string;
  readonly sysroot: Sysroot;
}

export function arm64Parts(): Parts {
  const { version, integrity } = locked(runtimePackage);
  const cache = join(root, "node_modules/.cache/twill-arm64", version);
  if (!existsSync(cache)) {
    const fresh = `${cache}.${process.pid}.tmp`;
    mkdirSync(fresh, { recursive: true });
    try {
      fetchRuntime(fresh, version, integrity);
      fetchLibc(fresh);
      renameSync(fresh, cache);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  return {
    runtime: join(cache, "package/bin/bun"),
    sysroot: { folder: join(cache, "usr/aarch64-linux-gnu/lib"), target: "/lib/aarch64-linux-gnu" },
  };
}

function locked(name: string): { readonly version: string; readonly integrity: string } {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Readonly<Record<string, { version: string; integrity: string }>>;
  };
  const entry = packages[`node_modules/${name}`];
  if (entry === undefined) throw new Error(`package-lock.json does not name ${name}`);
  return entry;
}

function fetchRuntime(folder: string, version: string, integrity: string): void {
  run(folder, "npm", "pack", "--silent", `${runtimePackage}@${version}`);
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  if (archive === undefined) throw new Error(`npm pack ${runtimePackage} left no archive`);
  const hash = `sha512-${createHash("sha512")
    .update(readFileSync(join(folder, archive)))
    .digest("base64")}`;
  if (hash !== integrity) throw new Error(`${runtimePackage} ${version} is not what package-lock.json knows: ${hash}`);
  run(folder, "tar", "-xzf", archive, "package/bin/bun");
  rmSync(join(folder, archive));
}

function fetchLibc(folder: string): void {
  run(folder, "apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", libcPackage);
  const archive = readdirSync(folder).find((name) => name.startsWith(`${libcPackage}_`));
  if (archive === undefined)
    throw new Error(`apt-get download ${libcPackage} left no archive (run apt-get update once)`);
  run(folder, "dpkg-deb", "-x", archive, ".");
  rmSync(join(folder, archive));
}

function run(folder: string, ...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}
