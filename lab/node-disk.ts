import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { closeFile, O_RDONLY, openFile } from "../src/kernel/file.ts";
import { bindMount, mountSysfs, shareAllMounts } from "../src/kernel/mount.ts";
import { showKernelSettings } from "./kubernetes/kernel-settings.ts";

const pluginPath = "/opt/cni/bin";
/** In a folder that Twill's manifest mounts into the agent's container, and that a boot empties. */
export const containedBootId = "/run/twill/boot-id";

/**
 * A node's own part of the file system: directories of the lab that are mounted over the paths that agent, plugins and
 * container runtime use, so that these run with their defaults. Everything else is the host's.
 */
const directories: readonly {
  readonly path: string;
  readonly name: string;
  /** Lost when the power goes, as on a machine whose /run is in memory. */
  readonly volatile?: true;
  /** Only where kubelet and containerd run. */
  readonly kubernetes?: true;
  /** Only where the machine has it, so that what is installed on a node is not installed on the machine. */
  readonly ifPresent?: true;
}[] = [
  { path: "/var/lib/twill", name: "var-lib-twill" },
  { path: "/var/lib/cni", name: "var-lib-cni" },
  { path: "/etc/cni/net.d", name: "etc-cni-net.d" },
  { path: "/run/twill", name: "run-twill", volatile: true },
  { path: "/run/flannel", name: "run-flannel", volatile: true },
  { path: "/run/netns", name: "run-netns", volatile: true },
  { path: "/var/lib/kubelet", name: "var-lib-kubelet", kubernetes: true },
  { path: "/var/lib/containerd", name: "var-lib-containerd", kubernetes: true },
  { path: "/var/log/pods", name: "var-log-pods", kubernetes: true },
  { path: "/var/log/containers", name: "var-log-containers", kubernetes: true },
  { path: "/run/containerd", name: "run-containerd", kubernetes: true, volatile: true },
  { path: pluginPath, name: "opt-cni-bin", kubernetes: true },
  { path: "/etc/systemd/network", name: "etc-systemd-network", kubernetes: true, ifPresent: true },
  { path: "/etc/NetworkManager", name: "etc-NetworkManager", kubernetes: true, ifPresent: true },
];
/** Paths that must exist in the lab's mount namespace before a node can be made. */
export const mountPoints = (kubernetes: boolean): readonly string[] => [
  ...directoriesOf(kubernetes).map(({ path }) => path),
  pluginPath,
];

const directoriesOf = (kubernetes: boolean) =>
  directories.filter(
    ({ path, kubernetes: only, ifPresent }) =>
      (kubernetes || only !== true) && (ifPresent !== true || existsSync(path)),
  );

/** Where a node's file of that path lies, as seen from the lab and from the host: ("/work/lab/nodes/node1", "/run/twill/agent.sock"). */
export function onDisk(nodeDirectory: string, path: string): string {
  const found = directories.find((directory) => path.startsWith(`${directory.path}/`) || path === directory.path);
  if (found === undefined) throw new RangeError(`${path} is not a node's own`);
  return join(nodeDirectory, found.name, path.slice(found.path.length));
}

/** Makes what is missing; empties what a power cut would have emptied. */
export function prepareDisk(nodeDirectory: string, kubernetes: boolean): void {
  for (const { name, volatile } of directoriesOf(kubernetes)) {
    const path = join(nodeDirectory, name);
    if (volatile === true) rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true, mode: 0o755 });
  }
  const bootId = `${crypto.randomUUID()}\n`;
  writeFileSync(join(nodeDirectory, "boot-id"), bootId);
  // A container has a /proc of its own, with the machine's boot id; this the agent in it can see (install-twill.ts).
  if (kubernetes) writeFileSync(onDisk(nodeDirectory, containedBootId), bootId);
}

/** Mounts all of it. Called in the node's mount namespace, by a process in its network namespace. */
export function mountDisk(labDirectory: string, nodeDirectory: string, kubernetes: boolean): void {
  for (const { path, name } of directoriesOf(kubernetes)) bindMount(join(nodeDirectory, name), path);
  // Plugins of the lab's own agents; a real cluster installs its own.
  if (!kubernetes) bindMount(join(labDirectory, "plugins"), pluginPath);
  if (existsSync("/etc/hosts")) bindMount(join(labDirectory, "hosts"), "/etc/hosts");
  if (kubernetes) {
    mountOwnSys();
    showKernelSettings(join(nodeDirectory, "kernel-settings"), join(nodeDirectory, "boot-id"));
    // As on a machine that systemd booted: what is mounted on the node shows in the containers that ask for it.
    shareAllMounts("/");
    return;
  }
  try {
    mountSysfs("/sys");
  } catch {
    // An outer container masks parts of /sys, so a user namespace gets no new one. Only tools that look at
    // /sys/class/net notice; netlink is not affected.
  }
}

/** The network devices of this node, and the machine's cgroups. */
function mountOwnSys(): void {
  const cgroups = openFile("/sys/fs/cgroup", O_RDONLY);
  try {
    mountSysfs("/sys");
    bindMount(`/proc/self/fd/${cgroups}`, "/sys/fs/cgroup");
  } finally {
    closeFile(cgroups);
  }
}

/** Our plugin, and Debian's where the host has them, for chains. */
export function linkPlugins(labDirectory: string, twillCni: string): void {
  const folder = join(labDirectory, "plugins");
  mkdirSync(folder, { recursive: true });
  const link = (name: string, target: string) => {
    if (!existsSync(join(folder, name)) && existsSync(target)) symlinkSync(target, join(folder, name));
  };
  link("twill-cni", twillCni);
  for (const name of ["portmap", "bandwidth", "tuning", "bridge", "host-local", "loopback"])
    link(name, join("/usr/lib/cni", name));
}
