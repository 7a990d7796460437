import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageName, packImage } from "./image.ts";

const executable = join(process.env.TWILL_DIST ?? join(import.meta.dir, "../dist"), "twill");
const folder = mkdtempSync(join(tmpdir(), "twill-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...command: string[]) => {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { timeout: 60_000 });
  return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode };
};

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

const archive = packImage(executable);
const layout = join(folder, "layout");
mkdirSync(layout);
writeFileSync(join(folder, "image.tar"), archive.bytes);
run("tar", "-xf", join(folder, "image.tar"), "-C", layout);
const json = (path: string) => JSON.parse(readFileSync(join(layout, path), "utf8"));
const blob = ({ digest, size }: Descriptor): Uint8Array => {
  const content = readFileSync(join(layout, "blobs", digest.replace(":", "/")));
  expect(`sha256:${createHash("sha256").update(content).digest("hex")}`).toBe(digest);
  expect(content.length).toBe(size);
  return content;
};
const parsed = (descriptor: Descriptor) => JSON.parse(new TextDecoder().decode(blob(descriptor)));

const loaderFolders = process.arch === "x64" ? ["lib64"] : [];
const root = join(folder, "root");
mkdirSync(root);
const manifest = parsed(json("index.json").manifests[0]);
const layer = Bun.gunzipSync(blob(manifest.layers[0]) as Uint8Array<ArrayBuffer>);
writeFileSync(join(folder, "layer.tar"), layer);
run("tar", "-xpf", join(folder, "layer.tar"), "-C", root);

test("every digest and size of the layout is right, and docker's manifest names the same blobs", () => {
  expect(json("oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" });
  const [entry] = json("index.json").manifests;
  expect(entry.digest).toBe(archive.digest);
  expect(entry.annotations["io.containerd.image.name"]).toBe(imageName);
  const config = parsed(manifest.config);
  expect(config.rootfs.diff_ids).toEqual([`sha256:${createHash("sha256").update(layer).digest("hex")}`]);
  expect(config.config.Entrypoint).toEqual(["/usr/local/bin/twill-agent"]);
  const path = ({ digest }: Descriptor) => `blobs/${digest.replace(":", "/")}`;
  expect(json("manifest.json")).toEqual([
    { Config: path(manifest.config), RepoTags: [imageName], Layers: [path(manifest.layers[0])] },
  ]);
});

test("the same inputs give the same digest, whatever their times", () => {
  const copy = join(folder, "copy");
  writeFileSync(copy, readFileSync(executable), { mode: 0o700 });
  expect(packImage(copy).digest).toBe(archive.digest);
}, 60_000);

test("inside are the executable under its names, its loader, its libraries, and little else", () => {
  const files = run("find", root, "-type", "f", "-printf", "%P\n").stdout.trim().split("\n").sort();
  const own = files.filter((path) => !/(^|\/)lib(64)?\//.test(path));
  expect(own).toEqual([
    "etc/group",
    "etc/nsswitch.conf",
    "etc/passwd",
    ...["kubectl-twill", "twill", "twill-agent", "twill-cni"].map((name) => `usr/local/bin/${name}`),
  ]);
  const names = files.filter((path) => !own.includes(path)).map((path) => path.slice(path.lastIndexOf("/") + 1));
  // The oracle: what the loader itself says it would load.
  const ldd = run("ldd", executable).stdout.matchAll(/(?:^|\/)((?:lib|ld-)[^\s/]*\.so\.\d+)/gm);
  expect(names.sort()).toEqual([...new Set([...ldd].map((match) => match[1] ?? ""))].sort());
  expect(readlinkSync(join(root, "var/run"))).toBe("../run");
  const programs = join(root, "usr/local/bin");
  // One executable under three names, and the launcher.
  expect(new Set(readdirSync(programs).map((name) => statSync(join(programs, name)).ino)).size).toBe(2);
  expect(statSync(join(programs, "twill-cni")).size).toBeLessThan(8192);
  for (const line of run("tar", "-tvf", join(folder, "layer.tar")).stdout.trim().split("\n"))
    expect(line).toMatch(/^[-dhl]r.{8} 0\/0 +\d+ 1970-01-01 /);
  expect(readdirSync(root).sort()).toEqual(
    [...new Set(["dev", "etc", "lib", "proc", "run", "sys", "tmp", "usr", "var", ...loaderFolders])].sort(),
  );
});

test("it runs with nothing but itself: each name, in the unpacked root", () => {
  // A container runtime mounts /proc; here a mount namespace of the test's own does.
  const script = 'mount --rbind /proc "$1/proc" && root=$1 && shift && exec chroot "$root" "$@"';
  const inside = (...command: string[]) => run("unshare", "--mount", "sh", "-c", script, "sh", root, ...command);
  expect(inside("/usr/local/bin/twill", "version").stdout).toStartWith("twill ");
  expect(inside("/usr/local/bin/twill-agent", "--version").stdout).toStartWith("twill-agent ");
  // The foreign-function interface, too: without libc by name, the plugin would not get this far.
  const plugin = inside("/usr/local/bin/twill-cni");
  expect(plugin.stderr + plugin.stdout).not.toContain("dlopen");
  expect(inside("/usr/local/bin/twill", "status").stderr).toContain("agent");
});
