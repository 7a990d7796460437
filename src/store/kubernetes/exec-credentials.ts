import { isAbsolute, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { describeError, TwillError } from "../../base/errors.ts";
import type { Credentials, Proof } from "./credentials.ts";
import { isRecord } from "./object.ts";

/** The `exec` part of a kubeconfig's user (client.authentication.k8s.io/v1 and v1beta1). */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** How to get the command, from the kubeconfig. */
  readonly installHint?: string;
  /** Sent to the plugin when the kubeconfig asks for it (provideClusterInfo). */
  readonly cluster?: Readonly<Record<string, unknown>>;
  /** A command with a slash in it is relative to here. */
  readonly directory: string;
}

export const execApiVersions: readonly string[] = [
  "client.authentication.k8s.io/v1",
  "client.authentication.k8s.io/v1beta1",
];

/** A plugin that asks a person something gets no answer; it must not hold us for ever. */
const TIME_LIMIT = 30_000;

interface Held {
  readonly proof: Proof;
  /** Wall-clock milliseconds. Absent: until the server refuses it. */
  readonly expires?: number;
}

/** Runs the plugin when its last credential is over or was refused; whoever asks meanwhile waits for the same run. */
export function execCredentials(plugin: ExecPlugin, clock: Clock): Credentials {
  let held: Held | undefined;
  let running: Promise<Held> | undefined;
  const current = (): Held | undefined =>
    held !== undefined && (held.expires === undefined || clock.now() < held.expires) ? held : undefined;
  return {
    proof: async () => {
      const usable = current();
      if (usable !== undefined) return usable.proof;
      running ??= run(plugin).finally(() => {
        running = undefined;
      });
      held = await running;
      return held.proof;
    },
    refused: (used) => {
      if (held?.proof === used) held = undefined;
      return true;
    },
  };
}

async function run(plugin: ExecPlugin): Promise<Held> {
  const { command, directory } = plugin;
  const path = command.includes("/") && !isAbsolute(command) ? join(directory, command) : command;
  const info = {
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(plugin.cluster && { cluster: plugin.cluster }) },
  };
  let output: string;
  let complaint: string;
  let status: number;
  try {
    const child = Bun.spawn([path, ...plugin.args], {
      env: { ...process.env, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: TIME_LIMIT,
    });
    [output, complaint, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
  } catch (cause) {
    throw failed(plugin, `cannot be run: ${describeError(cause)}`);
  }
  if (status !== 0) throw failed(plugin, `failed with status ${status}: ${complaint.trim().slice(-500)}`);
  return readCredential(plugin, output);
}

function readCredential(plugin: ExecPlugin, output: string): Held {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    throw failed(plugin, "printed something that is not JSON");
  }
  const status =
    isRecord(value) && value.kind === "ExecCredential" && isRecord(value.status) ? value.status : undefined;
  if (status === undefined) throw failed(plugin, "printed no ExecCredential with a status");
  const text = (field: string): string | undefined => {
    const found = status[field];
    return typeof found === "string" && found !== "" ? found : undefined;
  };
  const [token, certificate, key] = [text("token"), text("clientCertificateData"), text("clientKeyData")];
  if ((certificate === undefined) !== (key === undefined)) throw failed(plugin, "printed half of a client certificate");
  if (token === undefined && certificate === undefined)
    throw failed(plugin, "printed neither a token nor a certificate");
  const expires = Date.parse(text("expirationTimestamp") ?? "");
  const proof = { ...(token && { token }), ...(certificate && { certificate }), ...(key && { key }) };
  return { proof, ...(!Number.isNaN(expires) && { expires }) };
}

const failed = (plugin: ExecPlugin, message: string): TwillError =>
  new TwillError("denied", `the credential plugin ${message}`, {
    operation: "run",
    object: plugin.command,
    remedy: plugin.installHint ?? "run it by hand to see what it wants",
  });
