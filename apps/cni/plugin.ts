import { TwillError } from "../../src/base/errors.ts";
import { CniError, cniCodes, formatError } from "../../src/intent/cni/cni-error.ts";
import { type EssentialConfig, parseEssentials } from "../../src/intent/cni/config.ts";
import { type CniEnvironment, parseEnvironment } from "../../src/intent/cni/environment.ts";
import { formatVersions, newestVersion, versionIn } from "../../src/intent/cni/version.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { openNetns } from "../../src/kernel/netns.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";
import { pendingFolder, queueDelete } from "./pending-deletes.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

/** Milliseconds that the agent may take; a queue of 200 pods takes it one second. Overridden by TWILL_CNI_TIMEOUT. */
const patience = { ADD: 30_000, DEL: 15_000, CHECK: 30_000, GC: 30_000, STATUS: 5_000, VERSION: 0 } as const;

/** One call of the plugin: what it prints, and its exit status. Never throws. */
export function runPlugin(variables: Variables, stdin: string): CniAnswer {
  try {
    if (variables.CNI_COMMAND === "VERSION") return { status: 0, stdout: formatVersions(stdin) };
    const environment = parseEnvironment(variables);
    return handOver(
      environment,
      parseEssentials(stdin),
      { variables: cniVariables(variables), config: stdin },
      variables,
    );
  } catch (error) {
    return { status: 1, stdout: formatError(error, versionIn(stdin) ?? newestVersion) };
  }
}

const cniVariables = (variables: Variables): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).filter(
      (entry): entry is [string, string] => entry[0].startsWith("CNI_") && entry[1] !== undefined,
    ),
  );

function handOver(
  environment: CniEnvironment,
  { socket }: EssentialConfig,
  call: CniCall,
  variables: Variables,
): CniAnswer {
  const { command } = environment;
  const netns = namespaceOf(environment);
  const timeout = Number(variables.TWILL_CNI_TIMEOUT) || patience[command];
  try {
    return callAgent("cni", call, { path: socket, timeout, descriptors: netns === undefined ? [] : [netns] });
  } catch (error) {
    // Everything that CNI has an error for was answered as a CniAnswer: this is an agent that is away, hangs, or is too old.
    if (command !== "DEL") throw agentAway(command, socket, error);
    queueDelete(pendingFolder(socket), call);
    return { status: 0, stdout: "" };
  } finally {
    if (netns !== undefined) closeFile(netns);
  }
}

/** An open descriptor. Undefined for DEL of a namespace that is gone, and for commands without one. */
function namespaceOf(environment: CniEnvironment): number | undefined {
  if (!("netns" in environment) || environment.netns === undefined) return undefined;
  try {
    return openNetns(environment.netns);
  } catch (cause) {
    // A runtime may have unmounted it before DEL, and left the empty file.
    if (environment.command === "DEL") return undefined;
    throw new CniError(cniCodes.invalidEnvironment, "CNI_NETNS does not name a network namespace", {
      object: environment.netns,
      remedy: "the runtime must create the namespace before it calls the plugin",
      cause,
    });
  }
}

function agentAway(command: CniEnvironment["command"], socket: string, cause: unknown): CniError {
  const code = command === "STATUS" ? cniCodes.notAvailable : cniCodes.tryAgainLater;
  const message = cause instanceof TwillError ? cause.message : String(cause);
  return new CniError(code, `twill-agent does not answer: ${message}`, {
    code: "unavailable",
    object: socket,
    remedy: "look whether twill-agent runs on this node (`twill status`) and at its log; the runtime tries again",
  });
}
