/**
 * `npm run image`: dist/twill-image.tar, for `ctr images import`, `docker load` and `podman load`, made without any of them.
 * `npm run image -- --arch arm64` makes dist/twill-image-arm64.tar on an x86-64 machine, `--write` notes the size in the docs.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { build, distribution, executable, isCurrent, root, version } from "./build.ts";
import { type Archive, type Image, imageArchive } from "./image/archive.ts";
import { arm64Parts } from "./image/arm64-parts.ts";
import { imageRoot, type Sysroot } from "./image/root.ts";

export const imageName = `localhost/twill:${version}`;

type Architecture = Image["architecture"];
const native: Architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** The executable to pack, built where it is not current. */
function program(architecture: Architecture): { readonly path: string; readonly sysroot?: Sysroot } {
  if (architecture === native) {
    if (!isCurrent()) build();
    return { path: executable };
  }
  if (architecture !== "arm64") throw new Error(`an image for ${architecture} cannot be made on ${native}`);
  const { runtime, sysroot } = arm64Parts();
  const folder = join(distribution, architecture);
  build(folder, { target: "bun-linux-arm64", architecture, runtime });
  return { path: join(folder, "twill"), sysroot };
}

/** @param path of the executable; its libraries are found by what it says itself. */
export const packImage = (path: string, architecture: Architecture = native, sysroot?: Sysroot): Archive =>
  imageArchive({
    name: imageName,
    architecture,
    entrypoint: ["/usr/local/bin/twill-agent"],
    labels: { "org.opencontainers.image.title": "twill", "org.opencontainers.image.version": version },
    root: imageRoot(path, sysroot),
  });

function main(): void {
  const { values } = parseArgs({
    options: {
      arch: { type: "string", default: native },
      output: { type: "string" },
      write: { type: "boolean", default: false },
    },
  });
  const architecture = values.arch;
  if (architecture !== "amd64" && architecture !== "arm64") throw new Error(`--arch ${architecture}: amd64 or arm64`);
  const suffix = architecture === native ? "" : `-${architecture}`;
  const output = values.output ?? join(root, `dist/twill-image${suffix}.tar`);
  const { path, sysroot } = program(architecture);
  const archive = packImage(path, architecture, sysroot);
  mkdirSync(dirname(output), { recursive: true });
  writeFileSync(`${output}.new`, archive.bytes);
  renameSync(`${output}.new`, output);
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  if (values.write) writeSizes(architecture, archive);
  process.stdout.write(
    `${output}\n${imageName} for linux/${architecture}, ${archive.digest}\n` +
      `${mb(archive.compressed)} to send, ${mb(archive.unpacked)} unpacked\n`,
  );
}

/** The architecture's row of the table in docs/packaging.md. */
function writeSizes(architecture: Architecture, { compressed, unpacked }: Archive): void {
  const path = join(root, "docs/packaging.md");
  const before = readFileSync(path, "utf8");
  const row = new RegExp(`^\\| ${architecture} \\|.*$`, "m");
  if (!row.test(before)) throw new Error(`${path} has no row for ${architecture}`);
  const mb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
  writeFileSync(path, before.replace(row, `| ${architecture} | ${mb(compressed)} | ${mb(unpacked)} |`));
}

if (import.meta.main) main();
