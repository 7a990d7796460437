import { readdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import { type ElfDependencies, EM_AARCH64, EM_X86_64 } from "../../src/wire/elf.ts";
import { readElfFile } from "./elf-file.ts";
import { findLibrary, systemLibraryFolders } from "./libraries.ts";

const machineNames: Readonly<Record<number, string>> = { [EM_X86_64]: "x86-64", [EM_AARCH64]: "arm64" };
const glibcHosts = "use a node image with glibc, such as Debian, Ubuntu, Fedora, Flatcar or Amazon Linux";

/**
 * Whether this machine's loader and libraries can run a program: a compiled Bun program is dynamically linked, and the
 * container runtime starts the plugin on the host, outside the image that brings its own.
 * @returns for people: which glibc is wanted and which is there.
 * @throws TwillError `unsupported` saying what is missing and what to do.
 */
export function checkHostLibc(program: ElfDependencies): string {
  const loader = program.interpreter;
  if (loader === undefined) return "the program needs no library";
  const found = readElfFile(loader);
  if (found === undefined) throw withoutLoader(loader, newest(program.versionsNeeded.get("libc.so.6") ?? []));
  if (found.machine !== program.machine) {
    const name = (machine: number): string => machineNames[machine] ?? `machine ${machine}`;
    throw refused(
      `this program is for ${name(program.machine)} and the host is ${name(found.machine)}`,
      "use the image of the host's architecture",
    );
  }
  // glibc installs its loader beside its libraries, wherever that is (NixOS keeps both out of the usual folders).
  const folders = [dirname(realpathSync(loader)), ...systemLibraryFolders(program.machine)];
  let libc: readonly string[] = [];
  for (const name of program.needed) {
    const library = findLibrary(name, program.machine, folders);
    if (library === undefined) throw refused(`the host lacks ${name}`, glibcHosts);
    const offered = library.elf.versionsDefined;
    const missing = (program.versionsNeeded.get(name) ?? []).filter((version) => !offered.includes(version));
    if (missing.length > 0) {
      throw refused(
        `the host's ${library.path} offers ${newest(offered)}, and the program needs ${newest(missing)}`,
        "use a node image with a newer glibc",
      );
    }
    if (name === "libc.so.6") libc = offered;
  }
  return `needs ${newest(program.versionsNeeded.get("libc.so.6") ?? [])} or newer, the host has ${newest(libc)}`;
}

function withoutLoader(loader: string, wanted: string): TwillError {
  const musl = readdirSync("/lib", { withFileTypes: true }).find(({ name }) => /^ld-musl-.*\.so\.1$/.test(name));
  return musl === undefined
    ? refused(`the host lacks the dynamic loader ${loader}`, glibcHosts)
    : refused(`the host runs musl libc (/lib/${musl.name}), and the program needs ${wanted} or newer`, glibcHosts);
}

const refused = (why: string, remedy: string): TwillError =>
  new TwillError("unsupported", why, { operation: "check the host's libc", remedy });

/** "GLIBC_2.17" and its like by number, as "glibc 2.17"; GLIBC_PRIVATE and other names do not count. */
function newest(versions: readonly string[]): string {
  const numbers = versions.flatMap((version) => {
    const match = /^GLIBC_(\d+)\.(\d+)/.exec(version);
    return match === null ? [] : [[Number(match[1]), Number(match[2])] as const];
  });
  numbers.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const last = numbers.at(-1);
  return last === undefined ? (versions[0] ?? "no glibc version") : `glibc ${last[0]}.${last[1]}`;
}
