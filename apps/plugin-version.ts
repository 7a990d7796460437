import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { launcherFile } from "./cni/launcher/launcher.ts";
import { pluginName } from "./install/plugin-file.ts";
import { version } from "./version.ts";

const defaultFolder = "/opt/cni/bin";

/**
 * Version of the CNI plugin that is installed on this machine. The launcher bears no number, so it is compared with the one
 * that this program would install; the executable under the plugin's name, by its size.
 * @returns undefined where there is none to be seen: in a container that the folder is not mounted in.
 */
export function pluginVersion(folder = defaultFolder): string | undefined {
  const path = join(folder, pluginName);
  if (!existsSync(path)) return undefined;
  const { size } = statSync(path);
  const launcher = launcherFile();
  if (size === launcher.length) return Buffer.compare(readFileSync(path), launcher) === 0 ? version : "another build";
  return size === statSync("/proc/self/exe").size ? version : "another build";
}
