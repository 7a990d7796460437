import { TwillError } from "../base/errors.ts";
import { requestUnix } from "../kernel/unix-client.ts";
import { decodeAnswer, encodeRequest } from "./message.ts";
import type { Method, Params, Result } from "./methods.ts";

export interface CallOptions {
  /** The agent's socket. */
  readonly path: string;
  /** Handed over with the request; they stay open here. */
  readonly descriptors?: readonly number[];
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
  /** Bytes of the answer. 1 MiB unless given. */
  readonly maximumMessage?: number;
}

/**
 * Asks the agent, blocking the thread: for the plugin and the CLI, which have nothing else to do meanwhile.
 * @throws TwillError: what the agent answered; `unavailable` when it is away, `denied` when the socket is not ours to use.
 */
export function callAgent<M extends Method>(method: M, params: Params<M>, options: CallOptions): Result<M> {
  try {
    // The agent is root's, as we are, and of our installation: its results are not checked again.
    return decodeAnswer(requestUnix(encodeRequest({ method, params }), options)) as Result<M>;
  } catch (error) {
    if (!(error instanceof TwillError) || error.remedy !== undefined || error.object !== options.path) throw error;
    const remedy =
      error.code === "unavailable" ? "start twill-agent on this node, or look at its log" : "run this as root";
    const { code, message, operation = "ask", object = options.path } = error;
    throw new TwillError(code, message, { operation, object, remedy, cause: error.cause });
  }
}
