import { isCode, TwillError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { closeAll, type PeerCredentials } from "../kernel/fd-passing.ts";
import type { Poller } from "../kernel/poller.ts";
import { serveUnix, type UnixRequest, type UnixServer } from "../kernel/unix-server.ts";
import { decodeCniCall, encodeCniAnswer, isCniForm } from "./cni-form.ts";
import { decodeRequest, encodeError, encodeResult } from "./message.ts";
import { type CniAnswer, type Method, type Params, type Result, readParams } from "./methods.ts";

export interface CallContext {
  readonly peer: PeerCredentials;
  /** Closed when the handler has returned (or its promise is settled). */
  readonly descriptors: readonly number[];
}

export type Handler<M extends Method> = (params: Params<M>, context: CallContext) => Result<M> | Promise<Result<M>>;
export type Handlers = { readonly [M in Method]?: Handler<M> };

export interface RpcServerOptions {
  readonly path: string;
  readonly handlers: Handlers;
  readonly log: Log;
}

/** Bytes of a message: a network configuration with a list of valid attachments (GC) may be large. */
const maximumMessage = 4 << 20;

/**
 * Answers calls on the agent's socket until it is closed. Handlers that return at once are run one after another, in the
 * order in which requests arrive. Whatever a peer sends, it gets an error or is cut off; nothing reaches a handler unchecked.
 * @throws TwillError `conflict` when another agent serves this path.
 */
export function serveRpc(poller: Poller, { path, handlers, log }: RpcServerOptions): UnixServer {
  return serveUnix(poller, { path, maximumMessage, maximumDescriptors: 1 }, (request) => {
    // The file's mode keeps others out; a descriptor handed on by a root process must not let them in either.
    const { uid } = request.peer;
    if (uid !== 0 && uid !== process.geteuid?.()) {
      log.warn("a process that is not root's used the agent's socket", { ...request.peer });
      closeAll(request.descriptors);
      request.close();
      return;
    }
    void answer(request, handlers, log).finally(() => closeAll(request.descriptors));
  });
}

async function answer(request: UnixRequest, handlers: Handlers, log: Log): Promise<void> {
  const isCni = isCniForm(request.bytes);
  let reply: Uint8Array;
  try {
    const { method, params } = isCni
      ? { method: "cni", params: decodeCniCall(request.bytes) }
      : decodeRequest(request.bytes);
    // Asynchronous only where the handler is: `await` of a plain value would let the next request in between.
    const pending = dispatch(method, params, handlers, request);
    const result = pending instanceof Promise ? await pending : pending;
    reply = isCni ? encodeCniAnswer(result as CniAnswer) : encodeResult(result);
  } catch (error) {
    if (isCode(error, "internal") || !(error instanceof TwillError)) log.error("a request failed", { error });
    reply = encodeError(error);
  }
  request.respond(reply, { last: isCni });
}

function dispatch(method: string, params: unknown, handlers: Handlers, request: UnixRequest): unknown {
  if (!Object.hasOwn(handlers, method) || !Object.hasOwn(readParams, method)) {
    throw new TwillError("unsupported", `the agent does not know the request ${JSON.stringify(method.slice(0, 40))}`, {
      remedy: "restart the agent, so that it and the other programs are of one version",
    });
  }
  return invoke(method as Method, params, handlers, { peer: request.peer, descriptors: request.descriptors });
}

function invoke<M extends Method>(method: M, params: unknown, handlers: Handlers, context: CallContext): unknown {
  const handler: Handler<M> | undefined = handlers[method];
  return handler?.(readParams[method](params), context);
}
