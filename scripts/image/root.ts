/** What the image holds: the executable under its names, the CNI launcher, the loader and libraries, the names of root and nobody. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { launcherFile } from "../../apps/cni/launcher/launcher.ts";
import { readElfFile } from "../../apps/install/elf-file.ts";
import { findLibrary, libraryClosure, systemLibraryFolders } from "../../apps/install/libraries.ts";
import { pluginName } from "../../apps/install/plugin-file.ts";
import { EM_AARCH64 } from "../../src/wire/elf.ts";
import { otherNames } from "../build.ts";
import type { TarEntry } from "./tar.ts";

/** Another machine's libraries lie elsewhere here than they will there. */
export interface Sysroot {
  /** Folder on this machine that holds them all, the loader too. */
  readonly folder: string;
  /** Folder in the image, one that the loader searches by itself, for there is no ld.so.cache. */
  readonly target: string;
}

const programs = "usr/local/bin";

/** The entries of the image's one layer, parents first, sorted. */
export function imageRoot(executable: string, sysroot?: Sysroot): readonly TarEntry[] {
  const files: TarEntry[] = [
    { type: "file", path: `${programs}/twill`, mode: 0o755, content: readFileSync(executable) },
    ...otherNames.map(
      (name): TarEntry => ({
        type: "hard link",
        path: `${programs}/${name}`,
        mode: 0o755,
        target: `${programs}/twill`,
      }),
    ),
    { type: "file", path: `${programs}/${pluginName}`, mode: 0o755, content: launcherFor(executable) },
    // Runtimes name pods' namespaces /var/run/netns/…, which nodes have by the same link.
    { type: "symbolic link", path: "var/run", mode: 0o777, target: "../run" },
    text("etc/passwd", "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n"),
    text("etc/group", "root:x:0:\nnobody:x:65534:\n"),
    // Without it glibc asks DNS before /etc/hosts.
    text("etc/nsswitch.conf", "hosts: files dns\n"),
    ...libraries(executable, sysroot),
  ];
  return [...folders(files.map(({ path }) => path)), ...files.sort(byPathLinksLast)];
}

/** For the machine that the executable is made for. */
function launcherFor(executable: string): Uint8Array {
  return launcherFile(readElfFile(executable)?.machine === EM_AARCH64 ? "arm64" : "x64");
}

const text = (path: string, content: string): TarEntry => ({
  type: "file",
  path,
  mode: 0o644,
  content: new TextEncoder().encode(content),
});

function libraries(executable: string, sysroot: Sysroot | undefined): TarEntry[] {
  const elf = readElfFile(executable);
  if (elf?.interpreter === undefined) throw new Error(`${executable} names no dynamic loader`);
  const folders = sysroot === undefined ? systemLibraryFolders(elf.machine) : [sysroot.folder];
  const loader = elf.interpreter;
  const loaderName = loader.slice(loader.lastIndexOf("/") + 1);
  const loaderFile = sysroot === undefined ? loader : findLibrary(loaderName, elf.machine, folders)?.path;
  if (loaderFile === undefined) throw new Error(`${loaderName} is not in ${folders.join(", ")}`);
  const found = libraryClosure(elf, folders)
    // It is a library too (DT_NEEDED names it), but there must be one only, where PT_INTERP says.
    .filter(({ name }) => name !== loaderName)
    .map(({ name, path }) => ({ to: join(sysroot?.target ?? dirname(path), name), from: path }));
  return [{ to: loader, from: loaderFile }, ...found].map(({ to, from }) => ({
    type: "file",
    path: to.replace(/^\//, ""),
    mode: 0o755,
    content: readFileSync(from),
  }));
}

/** What runtimes mount on, besides what the files need. A program with Bun inside does not start without /proc. */
const mountPoints = ["dev", "proc", "run", "sys", "tmp"];

function folders(paths: readonly string[]): TarEntry[] {
  const all = new Set<string>(mountPoints);
  for (const path of paths) for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) all.add(folder);
  return [...all].sort().map((path) => ({ type: "directory", path, mode: path === "tmp" ? 0o1777 : 0o755 }));
}

/** A hard link must come behind its target. */
const byPathLinksLast = (a: TarEntry, b: TarEntry): number =>
  Number(a.type === "hard link") - Number(b.type === "hard link") || (a.path < b.path ? -1 : 1);
