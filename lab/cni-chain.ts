import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../src/base/errors.ts";

/** A CNI configuration list as a container runtime reads it. */
export interface ConfigList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfig[];
}
export interface PluginConfig {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A CNI result, as far as the lab looks into it. Passed on as it came. */
export interface CniResult {
  readonly ips?: readonly { readonly address: string; readonly interface?: number }[];
  readonly [field: string]: unknown;
}

/** The container for which the chain is called (CNI specification, "Parameters"). */
export interface Container {
  readonly id: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Runs one plugin on the node: the environment and standard input of the specification, its exit status and output. */
export type RunPlugin = (
  plugin: string,
  environment: Readonly<Record<string, string>>,
  input: string,
) => Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }>;

export const pluginDirectory = "/opt/cni/bin";

/** The first file of the directory in the order of names, as kubelet's runtimes choose it. @throws TwillError `not-found`, `invalid`. */
export function readConfigList(directory: string): ConfigList {
  const name = readdirSync(directory)
    .filter((entry) => /\.(conflist|conf|json)$/.test(entry))
    .sort()[0];
  if (name === undefined)
    throw new TwillError("not-found", "the node has no CNI configuration", {
      operation: "read CNI configuration",
      object: directory,
      remedy: "its agent installs one when it is ready: look into its log",
    });
  try {
    const list = JSON.parse(readFileSync(join(directory, name), "utf8")) as ConfigList & PluginConfig;
    return list.plugins === undefined ? { ...list, plugins: [list] } : list;
  } catch (cause) {
    throw new TwillError("invalid", "it is not JSON", { operation: "read CNI configuration", object: name, cause });
  }
}

/** ADD of every plugin in order, each given the result of the one before; the last result. @throws TwillError with the plugin's own words. */
export async function addToNetwork(list: ConfigList, container: Container, run: RunPlugin): Promise<CniResult> {
  let result: CniResult | undefined;
  for (const plugin of list.plugins) {
    const output = await call("ADD", list, plugin, container, result, run);
    result = parseResult(plugin, output);
  }
  if (result === undefined) throw new TwillError("invalid", `the CNI configuration ${list.name} names no plugin`);
  return result;
}

/** DEL of every plugin in reverse order, each given the cached result. All are called; the first error is thrown at the end. */
export async function deleteFromNetwork(
  list: ConfigList,
  container: Container,
  cached: CniResult | undefined,
  run: RunPlugin,
): Promise<void> {
  let first: unknown;
  for (const plugin of list.plugins.toReversed()) {
    try {
      await call("DEL", list, plugin, container, cached, run);
    } catch (error) {
      first ??= error;
    }
  }
  if (first !== undefined) throw first;
}

async function call(
  command: "ADD" | "DEL",
  list: ConfigList,
  plugin: PluginConfig,
  container: Container,
  prevResult: CniResult | undefined,
  run: RunPlugin,
): Promise<string> {
  const input = { ...plugin, cniVersion: list.cniVersion, name: list.name, ...(prevResult && { prevResult }) };
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: container.id,
    CNI_NETNS: container.netns,
    CNI_IFNAME: container.ifname,
    CNI_PATH: pluginDirectory,
    CNI_ARGS: Object.entries({ IgnoreUnknown: "1", ...container.args })
      .map(([key, value]) => `${key}=${value}`)
      .join(";"),
  };
  const done = await run(plugin.type, environment, JSON.stringify(input));
  if (done.status === 0) return done.stdout;
  throw pluginError(command, plugin.type, done);
}

function parseResult(plugin: PluginConfig, output: string): CniResult {
  try {
    return JSON.parse(output) as CniResult;
  } catch (cause) {
    throw new TwillError("corrupt", "its result is not JSON", { operation: "CNI ADD", object: plugin.type, cause });
  }
}

/** The error object of the specification (code, msg, details), or what the plugin printed instead. */
function pluginError(
  command: string,
  type: string,
  done: { readonly status: number; readonly stdout: string; readonly stderr: string },
): TwillError {
  let message = (done.stdout + done.stderr).trim() || `exit status ${done.status}`;
  let again = false;
  try {
    const error = JSON.parse(done.stdout) as { code?: number; msg?: string; details?: string };
    message = `${error.msg ?? "no message"}${error.details ? ` (${error.details})` : ""}, code ${error.code ?? "?"}`;
    again = error.code === 11;
  } catch {
    // Died before it could say anything in JSON.
  }
  return new TwillError(again ? "unavailable" : "io", message, { operation: `CNI ${command}`, object: type });
}
