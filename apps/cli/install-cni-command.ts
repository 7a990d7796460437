import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { describeError, TwillError } from "../../src/base/errors.ts";
import { enterRoot } from "../../src/kernel/root.ts";
import { makeFolders, writeIfChanged } from "../agent/files.ts";
import { defaultCniBinDir, defaultCniConfDir, defaultRunDir, defaultStateDir, defaultSubnetFile } from "../defaults.ts";
import { text } from "../flags.ts";
import { readElfFile } from "../install/elf-file.ts";
import { presentDaemons } from "../install/host-daemons.ts";
import { checkHostLibc } from "../install/host-libc.ts";
import { rememberInstalled } from "../install/installed-files.ts";
import { installPlugin, pluginName, pluginPaths } from "../install/plugin-file.ts";
import { command, type Output } from "./command.ts";

const flags = {
  hostRoot: text("/", "where the host's root directory is mounted; every other path is one of the host's", "DIR"),
  cniBinDir: text(defaultCniBinDir, "where the container runtime looks for plugins", "DIR"),
  cniConfDir: text(defaultCniConfDir, "the agent's --cni-conf-dir", "DIR"),
  stateDir: text(defaultStateDir, "the agent's --state-dir", "DIR"),
  runDir: text(defaultRunDir, "the agent's --run-dir", "DIR"),
  subnetFile: text(defaultSubnetFile, "the agent's --subnet-file", "FILE"),
};

export const installCni = command({
  name: "install-cni",
  summary: "Install the CNI plugin on this node: what the DaemonSet's init container does",
  help: `
Checks that the host can run it, puts it and the executable that it falls back to into place, each whole or not at all, makes the folders that the agent needs, and keeps
NetworkManager and systemd-networkd off our devices. Done again, it changes nothing. "twill uninstall" takes all of it away.

  twill install-cni                     on the node itself
  twill install-cni --host-root /host   in a container that has the node's root directory at /host`,
  flags,
  run: ({ flags, rest }, output) => {
    if (rest.length > 0) throw new TwillError("invalid", `"${rest[0]}" is not expected here`);
    const elf = readElfFile("/proc/self/exe");
    if (elf === undefined) throw new TwillError("internal", "/proc/self/exe is not there");
    const executable = openSync("/proc/self/exe", "r");
    try {
      // Inside the host's root every path, and every symbolic link in it, means what it means on the host.
      if (flags.hostRoot !== "/") enterRoot(flags.hostRoot);
      output.out(`${pluginName} ${checkHostLibc(elf)}\n`);
      makeFolders(flags.stateDir, [
        { path: flags.runDir, mode: 0o755 },
        { path: dirname(flags.subnetFile), mode: 0o755 },
        { path: flags.cniConfDir, mode: 0o755 },
        { path: flags.cniBinDir, mode: 0o755 },
      ]);
      rememberInstalled(flags.stateDir, pluginPaths(flags.cniBinDir));
      for (const { path, changed } of installPlugin(executable, flags.cniBinDir))
        output.out(`${path}: ${changed ? "installed" : "is the same already"}\n`);
    } finally {
      closeSync(executable);
    }
    keepDaemonsOff(flags.stateDir, output);
    return 0;
  },
});

/** Helpful, not needed: a host whose /etc is read-only gets its plugin all the same. */
function keepDaemonsOff(stateDir: string, output: Output): void {
  for (const { name, files, reload } of presentDaemons()) {
    try {
      const paths = files.map(({ path }) => path);
      makeFolders(
        stateDir,
        paths.map((path) => ({ path: dirname(path), mode: 0o755 })),
      );
      rememberInstalled(stateDir, paths);
      const changed = files.filter(({ path, content }) => writeIfChanged(path, content)).map(({ path }) => path);
      if (changed.length > 0) output.out(`${name} is told to leave our devices alone: ${changed.join(", ")}\n`);
      if (changed.length > 0) output.out(`  in force after "${reload}" on the host, or its next start\n`);
    } catch (error) {
      output.error(`warning: ${name} is not told to leave our devices alone: ${describeError(error)}\n`);
    }
  }
}
