import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bindMount } from "../../src/kernel/mount.ts";

/**
 * Kubelet wants these settings, which are the machine's, not the node's, and writes them where they differ (with
 * protectKernelDefaults it refuses to start). A lab changes nothing of its machine: on its nodes, files with the wanted
 * values lie over them. Kubernetes 1.36: pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables.
 */
const wanted: Readonly<Record<string, number>> = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
};

/**
 * In the node's mount namespace. @param folder for the files. @param bootId file that takes the place of the kernel's own
 * boot id: a lab's node boots while its kernel does not, and kubelet tells the API server of it.
 */
export function showKernelSettings(folder: string, bootId: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, value] of Object.entries(wanted)) {
    const file = join(folder, name.replaceAll("/", "."));
    writeFileSync(file, `${value}\n`);
    bindMount(file, `/proc/sys/${name}`);
  }
  bindMount(bootId, "/proc/sys/kernel/random/boot_id");
}
