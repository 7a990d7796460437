import { afterEach, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { launcherFile } from "../cni/launcher/launcher.ts";
import { readElfFile } from "./elf-file.ts";
import { installedFiles } from "./installed-files.ts";
import { libraryClosure, systemLibraryFolders } from "./libraries.ts";

const twill = join(process.env.TWILL_DIST ?? join(import.meta.dir, "../../dist"), "twill");
const elf = readElfFile(twill);
if (elf?.interpreter === undefined) throw new Error(`${twill} is not a dynamic ELF file`);
const loader = elf.interpreter;
const libraries = libraryClosure(elf, systemLibraryFolders(elf.machine));

const hosts: string[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) rmSync(host, { recursive: true, force: true });
});

/** The root directory of a host that has glibc and nothing else of ours. */
function host(options: { readonly glibc: boolean } = { glibc: true }): string {
  const root = mkdtempSync(join(tmpdir(), "twill-host-"));
  hosts.push(root);
  for (const folder of ["proc", "etc", "var/lib", "run", "lib"]) mkdirSync(join(root, folder), { recursive: true });
  if (!options.glibc) return root;
  const place = (from: string, to: string) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  };
  for (const { path } of libraries) place(path, path);
  place(loader, loader);
  return root;
}

/** With /proc, which a real host root has; in a mount namespace of its own, so that nothing stays mounted. */
function inHost(root: string, script: string, ...args: string[]) {
  const mounted = `mount --rbind /proc "$1/proc" && ${script}`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(
    ["unshare", "--mount", "sh", "-c", mounted, "sh", root, twill, ...args],
    { timeout: 60_000 },
  );
  return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode };
}

const install = (root: string, ...args: string[]) =>
  inHost(root, 'root=$1 program=$2 && shift 2 && exec "$program" install-cni --host-root "$root" "$@"', ...args);

const plugin = "opt/cni/bin/twill-cni";
const program = "opt/cni/bin/twill";

test("plugin and executable are there, whole, executable, and run on the host; again, nothing changes", () => {
  const root = host();
  const first = install(root);
  expect(first.stderr).toBe("");
  expect(first.stdout).toMatch(/^twill-cni needs glibc 2\.\d+ or newer, the host has glibc 2\.\d+\n/);
  // The executable first: a launcher without it would be a broken moment.
  expect(first.stdout).toContain("/opt/cni/bin/twill: installed\n/opt/cni/bin/twill-cni: installed\n");
  expect(readFileSync(join(root, program)).equals(readFileSync(twill))).toBe(true);
  expect(readFileSync(join(root, plugin)).equals(launcherFile())).toBe(true);
  const facts = () =>
    [plugin, program].map((path) => {
      const { ino, mtimeMs, mode } = statSync(join(root, path));
      return { ino, mtimeMs, mode: mode & 0o7777 };
    });
  const before = facts();
  for (const { mode } of before) expect(mode).toBe(0o755);
  expect(readdirSync(join(root, "opt/cni/bin")).sort()).toEqual(["twill", "twill-cni"]);
  const version = inHost(root, 'CNI_COMMAND=VERSION exec chroot "$1" /opt/cni/bin/twill-cni </dev/null');
  expect(version.stdout).toContain("supportedVersions");

  expect(install(root).stdout.match(/is the same already/g)).toHaveLength(2);
  expect(facts()).toEqual(before);
});

test("another version, a damaged file and a wrong mode are replaced; what a killed installer left goes away", () => {
  const root = host();
  install(root);
  const folder = join(root, "opt/cni/bin");
  for (const damage of [
    () => truncateSync(join(root, program), 1000),
    () => truncateSync(join(root, plugin), 100),
    () => chmodSync(join(root, plugin), 0o700),
    () => rmSync(join(root, program)),
    // What the version before this one installed: the executable under the plugin's name, alone.
    () => {
      rmSync(join(root, plugin));
      renameSync(join(root, program), join(root, plugin));
    },
    () => {
      for (const name of ["twill", "twill-cni"]) writeFileSync(join(folder, `.${name}.new`), "half");
    },
  ]) {
    damage();
    expect(install(root).exitCode).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["twill", "twill-cni"]);
    for (const path of [plugin, program]) expect(statSync(join(root, path)).mode & 0o7777).toBe(0o755);
    expect(statSync(join(root, program)).size).toBe(statSync(twill).size);
    expect(readFileSync(join(root, plugin)).equals(launcherFile())).toBe(true);
  }
}, 120_000);

test("a musl host is refused by name, with what to do, and stays as it was", () => {
  const root = host({ glibc: false });
  writeFileSync(join(root, "lib/ld-musl-x86_64.so.1"), "");
  const { stderr, exitCode } = install(root);
  expect(exitCode).toBe(1);
  expect(stderr).toContain("the host runs musl libc (/lib/ld-musl-x86_64.so.1), and the program needs glibc 2.");
  expect(stderr).toContain("use a node image with glibc");
  expect(readdirSync(root).sort()).toEqual(["etc", "lib", "proc", "run", "var"]);
});

test("a host without any loader, with a library missing, or with an older glibc is refused by name", () => {
  expect(install(host({ glibc: false })).stderr).toContain(`the host lacks the dynamic loader ${loader}`);

  const libm = libraries.find(({ name }) => name === "libm.so.6")?.path ?? "";
  const without = host();
  rmSync(join(without, libm));
  expect(install(without).stderr).toContain("the host lacks libm.so.6");

  // A glibc that is older by name: what it calls 2.17 and newer is called 2.0x here.
  const old = host();
  const libc = join(old, libraries.find(({ name }) => name === "libc.so.6")?.path ?? "");
  const aged = readFileSync(libc, "latin1").replaceAll(/GLIBC_2\.(?:1([7-9])|[23](\d))/g, "GLIBC_2.0$1$2");
  writeFileSync(libc, aged, "latin1");
  const { stderr, exitCode } = install(old);
  expect(stderr).toMatch(/libc\.so\.6 offers glibc 2\.16, and the program needs glibc 2\.\d+ .*newer glibc/);
  expect(exitCode).toBe(1);
  expect(existsSync(join(old, "opt"))).toBe(false);
});

test("where it does not run all the same, nothing of it stays and the old plugin keeps its place", () => {
  const root = host();
  mkdirSync(join(root, "opt/cni/bin"), { recursive: true });
  writeFileSync(join(root, plugin), "the old one", { mode: 0o755 });
  const script =
    'mount -t tmpfs -o noexec tmpfs "$1/mnt" && mkdir "$1/mnt/bin" && root=$1 program=$2 && shift 2' +
    ' && { "$program" install-cni --host-root "$root" --cni-bin-dir /mnt/bin; status=$?; ls -A "$root/mnt/bin"; exit $status; }';
  mkdirSync(join(root, "mnt"));
  const { stdout, stderr, exitCode } = inHost(root, script);
  expect(stderr).toContain("does not run on this host");
  expect(stderr).toContain("noexec");
  expect(stdout).not.toContain(".new");
  expect(exitCode).toBe(1);
  expect(readFileSync(join(root, plugin), "utf8")).toBe("the old one");
});

test("an absolute symbolic link of the host leads to where it leads on the host", () => {
  const root = host();
  mkdirSync(join(root, "var/opt"), { recursive: true });
  symlinkSync("/var/opt", join(root, "opt"));
  expect(install(root).exitCode).toBe(0);
  expect(existsSync(join(root, "var/opt/cni/bin/twill-cni"))).toBe(true);
});

const daemonFiles = [
  "etc/NetworkManager/conf.d/90-twill.conf",
  "etc/systemd/network/05-twill.link",
  "etc/systemd/network/05-twill.network",
];

test("NetworkManager and systemd-networkd are told, where they are, to let our devices alone", () => {
  const without = host();
  install(without);
  expect(readdirSync(join(without, "etc")).sort()).toEqual(["cni", ...readdirSync(join(host(), "etc"))]);

  const root = host();
  for (const folder of ["etc/NetworkManager", "etc/systemd/network"])
    mkdirSync(join(root, folder), { recursive: true });
  const { stdout } = install(root);
  for (const path of daemonFiles) expect(stdout).toContain(`/${path}`);
  const [manager, link, network] = daemonFiles.map((path) => readFileSync(join(root, path), "utf8"));
  expect(manager).toContain("[keyfile]\nunmanaged-devices+=interface-name:twl*;interface-name:flannel.*;");
  expect(network).toContain("[Match]\nName=twl* flannel.* flannel-v6.* fl4.* fl6.* cni0\n\n[Link]\nUnmanaged=yes");
  expect(link).toContain("OriginalName=twl* flannel.* flannel-v6.* fl4.* fl6.* cni0\n\n[Link]\nMACAddressPolicy=none");
  expect(install(root).stdout).not.toContain("NetworkManager");
});

test("everything that was installed is in the list by which `twill uninstall` removes it", () => {
  const root = host();
  for (const folder of ["etc/NetworkManager", "etc/systemd/network"])
    mkdirSync(join(root, folder), { recursive: true });
  const tree = () =>
    Bun.spawnSync(["find", root, "-not", "-path", `${root}/proc*`])
      .stdout.toString()
      .split("\n")
      .sort();
  const before = tree();
  install(root);
  expect([...installedFiles(join(root, "var/lib/twill"))].sort()).toEqual(
    [plugin, program, ...daemonFiles].map((path) => `/${path}`).sort(),
  );
  // A node has the program beside the plugin, and that is the CLI, too.
  const cli = Bun.spawnSync([join(root, program), "version"]);
  expect(cli.stdout.toString()).toStartWith("twill ");
  const script = 'unshare --net --root="$1" /opt/cni/bin/twill uninstall';
  const byName = inHost(root, script);
  expect(byName.stderr).toBe("");
  for (const path of [plugin, program, ...daemonFiles]) expect(byName.stdout).toContain(`removed /${path}\n`);
  expect(tree()).toEqual(before);
});
