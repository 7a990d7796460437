import { TwillError } from "../../src/base/errors.ts";
import { closeFile, O_RDONLY, openFile } from "../../src/kernel/file.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";
import { defaultSocket, patience, reasons } from "./launcher/contract.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * One call of the plugin: what it prints, and its exit status. Never throws.
 *
 * A call goes to the agent as it came, unread but for the socket's name, and the agent checks it. Only when there is no agent
 * to do so (or the call is VERSION) does the plugin look itself, with modules that no other call pays for: reading them takes
 * as long as all the rest.
 * @param reason why the launcher handed the call over (launcher/contract.ts), if it did.
 */
export function runPlugin(variables: Variables, config: string, reason?: string): CniAnswer {
  const call: CniCall = { variables: cniVariables(variables), config };
  const path = socketIn(config);
  const seconds = patience[variables.CNI_COMMAND ?? ""];
  if (path === undefined || seconds === undefined) return withoutAgent(call);
  const asked = Number(variables.TWILL_CNI_TIMEOUT) || 0;
  const timeout = asked || seconds * 1000;
  // The launcher has asked, and the agent may have acted: a second ADD would be refused, and a second wait be too long.
  const unanswered = (message: string) => withoutAgent(call, new TwillError("unavailable", message));
  if (reason === reasons.hungUp) return unanswered("the server hung up without an answer");
  if (reason === reasons.timedOut) return unanswered(`no answer within ${timeout} ms`);
  const netns = openNamespace(variables.CNI_NETNS);
  try {
    return callAgent("cni", call, { path, timeout, descriptors: netns === undefined ? [] : [netns] });
  } catch (error) {
    // Everything that CNI has an error for was answered as a CniAnswer: this is an agent that is away, hangs, or is too old.
    return withoutAgent(call, error, Number(variables.TWILL_CNI_TIMEOUT) || undefined);
  } finally {
    if (netns !== undefined) closeFile(netns);
  }
}

/** Of the specification. By name, for listing the whole environment takes longer than all the rest of this file. */
const names = [
  "CNI_COMMAND",
  "CNI_CONTAINERID",
  "CNI_NETNS",
  "CNI_IFNAME",
  "CNI_ARGS",
  "CNI_PATH",
  "CNI_NETNS_OVERRIDE",
];

function cniVariables(variables: Variables): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = variables[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/** undefined: the configuration cannot be read. */
function socketIn(config: string): string | undefined {
  try {
    const { socket = defaultSocket } = JSON.parse(config) as { readonly socket?: unknown };
    return typeof socket === "string" ? socket : undefined;
  } catch {
    return undefined;
  }
}

/** undefined where there is nothing to open: DEL may come when the namespace is gone, and the agent says what else lacks it. */
function openNamespace(path: string | undefined): number | undefined {
  try {
    return path?.startsWith("/") === true ? openFile(path, O_RDONLY) : undefined;
  } catch {
    return undefined;
  }
}

function withoutAgent(call: CniCall, cause?: unknown, patience?: number): CniAnswer {
  // Synchronously, and only now: an import would be evaluated at every start.
  const slow: typeof import("./without-agent.ts") = require("./without-agent.ts");
  return slow.answerWithoutAgent(call, cause, patience);
}
