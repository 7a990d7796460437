import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import { type ElfDependencies, EM_AARCH64, EM_X86_64 } from "../../src/wire/elf.ts";
import { readElfFile } from "./elf-file.ts";

export interface Library {
  /** As DT_NEEDED says: "libc.so.6". */
  readonly name: string;
  /** Where it was found. */
  readonly path: string;
  readonly elf: ElfDependencies;
}

const multiarch: Readonly<Record<number, string>> = {
  [EM_X86_64]: "x86_64-linux-gnu",
  [EM_AARCH64]: "aarch64-linux-gnu",
};

/** Where glibc's loader looks without a cache or a setting: Debian's multiarch folders, Fedora's and SUSE's lib64, then lib. */
export function systemLibraryFolders(machine: number): readonly string[] {
  const triplet = multiarch[machine];
  const own = triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`];
  return [...own, "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
}

/** The first file of this name that is made for the same machine. */
export function findLibrary(name: string, machine: number, folders: readonly string[]): Library | undefined {
  for (const folder of folders) {
    const path = join(folder, name);
    const elf = readElfFile(path);
    if (elf !== undefined && elf.machine === machine) return { name, path, elf };
  }
  return undefined;
}

/** All libraries of a program, and theirs, by name, sorted. @throws TwillError `not-found` naming the one that is missing. */
export function libraryClosure(program: ElfDependencies, folders: readonly string[]): readonly Library[] {
  const found = new Map<string, Library>();
  const visit = (elf: ElfDependencies) => {
    for (const name of elf.needed) {
      if (found.has(name)) continue;
      const library = findLibrary(name, program.machine, folders);
      if (library === undefined) {
        throw new TwillError("not-found", `it is in none of ${folders.join(", ")}`, {
          operation: "find library",
          object: name,
        });
      }
      found.set(name, library);
      visit(library.elf);
    }
  };
  visit(program);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
