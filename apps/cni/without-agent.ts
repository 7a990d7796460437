import { TwillError } from "../../src/base/errors.ts";
import { CniError, cniCodes, formatError } from "../../src/intent/cni/cni-error.ts";
import { parseEssentials } from "../../src/intent/cni/config.ts";
import { parseEnvironment } from "../../src/intent/cni/environment.ts";
import { formatVersions, newestVersion, versionIn } from "../../src/intent/cni/version.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";
import { pendingFolder, queueDelete } from "./pending-deletes.ts";
import { askStatusAgain } from "./status-again.ts";

/**
 * What the plugin can say by itself: VERSION, what is wrong with the call, or that the agent is away. Then a DEL is queued for
 * it, so that no pod hangs in termination; STATUS is asked again for a while; everything else the runtime has to try again.
 * @param patience milliseconds that somebody set for all commands.
 */
export function answerWithoutAgent(call: CniCall, cause: unknown, patience?: number): CniAnswer {
  try {
    if (call.variables.CNI_COMMAND === "VERSION") return { status: 0, stdout: formatVersions(call.config) };
    const { command } = parseEnvironment(call.variables);
    const { socket } = parseEssentials(call.config);
    switch (command) {
      case "DEL":
        queueDelete(pendingFolder(socket), call);
        return { status: 0, stdout: "" };
      case "STATUS":
        return statusOf(call, socket, cause, patience);
      default:
        throw agentAway(command, socket, cause);
    }
  } catch (error) {
    return { status: 1, stdout: formatError(error, versionIn(call.config) ?? newestVersion) };
  }
}

function statusOf(call: CniCall, socket: string, cause: unknown, patience: number | undefined): CniAnswer {
  try {
    return askStatusAgain(call, socket, cause, patience);
  } catch (error) {
    throw agentAway("STATUS", socket, error);
  }
}

function agentAway(command: string, socket: string, cause: unknown): CniError {
  const code = command === "STATUS" ? cniCodes.notAvailable : cniCodes.tryAgainLater;
  const message = cause instanceof TwillError ? cause.message : String(cause);
  return new CniError(code, `twill-agent does not answer: ${message}`, {
    code: "unavailable",
    object: socket,
    remedy: "look whether twill-agent runs on this node (`twill status`) and at its log; the runtime tries again",
  });
}
