import { describeError, type ErrorCode, TwillError } from "../src/base/errors.ts";

/**
 * How the command line talks to the lab: one HTTP request over the lab's unix socket a call, answered by lines of JSON:
 * progress while it works, then the result or the error.
 */
type Line<R> =
  | { readonly progress: string }
  | { readonly result: R }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } & Partial<Remedied> };
interface Remedied {
  readonly operation: string;
  readonly object: string;
  readonly remedy: string;
}

export type Progress = (line: string) => void;

/** A method of the lab. The signal is raised when the caller went away. */
export type Method<P, R> = (params: P, progress: Progress, signal: AbortSignal) => Promise<R> | R;

/** Names, parameters and results of all calls. */
export type Api = Readonly<Record<string, { readonly params: unknown; readonly result: unknown }>>;
export type Methods<A extends Api> = { readonly [M in keyof A]: Method<A[M]["params"], A[M]["result"]> };

export interface ControlServer {
  stop(): Promise<void>;
}

/** The socket lies in a directory that only its owner may enter, so whoever connects may do everything. */
export function serveControl<A extends Api>(socketPath: string, methods: Methods<A>): ControlServer {
  const server = Bun.serve({
    unix: socketPath,
    fetch: async (request, self) => {
      self.timeout(request, 0); // a call may take as long as it takes, and says so (aliveEveryMs)
      const name = new URL(request.url).pathname.slice(1);
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (method === undefined) return new Response(null, { status: 404 });
      const params = (await request.json()) as A[string]["params"];
      return new Response(answer(method, params));
    },
  });
  return { stop: () => server.stop(true) };
}

/** An answer that is silent for 10 s is cut off (Bun 1.4): the time limit that is lifted from a request holds for its stream again. */
const aliveEveryMs = 3_000;

function answer<P, R>(method: Method<P, R>, params: P): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const gone = new AbortController();
  return new ReadableStream({
    async start(controller) {
      const send = (line: Line<R>) => {
        if (!gone.signal.aborted) controller.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
      };
      const alive = setInterval(() => {
        if (!gone.signal.aborted) controller.enqueue(encoder.encode("\n"));
      }, aliveEveryMs);
      try {
        send({ result: await method(params, (progress) => send({ progress }), gone.signal) });
      } catch (error) {
        send({ error: portable(error) });
      } finally {
        clearInterval(alive);
      }
      if (!gone.signal.aborted) controller.close();
    },
    cancel() {
      gone.abort();
    },
  });
}

/** @throws the TwillError that the lab threw; `unavailable` when it does not answer. */
export async function callLab<A extends Api, M extends keyof A & string>(
  socketPath: string,
  method: M,
  params: A[M]["params"],
  progress: Progress = () => {},
): Promise<A[M]["result"]> {
  for await (const line of lines(await request(socketPath, method, params))) {
    if (line === "") continue;
    const message = JSON.parse(line) as Line<A[M]["result"]>;
    if ("progress" in message) progress(message.progress);
    else if ("result" in message) return message.result;
    else throw new TwillError(message.error.code, message.error.message, message.error);
  }
  throw new TwillError("unavailable", "the lab ended while it worked on this", {
    operation: "call lab",
    object: method,
    remedy: `look into lab.log beside ${socketPath}, then run "twill lab down"`,
  });
}

async function request(socketPath: string, method: string, params: unknown): Promise<ReadableStream<Uint8Array>> {
  let response: Response;
  try {
    const init = { method: "POST", body: JSON.stringify(params ?? null), unix: socketPath, timeout: false };
    response = await fetch(`http://lab/${method}`, init as RequestInit);
  } catch (cause) {
    throw new TwillError("unavailable", "the lab does not answer", {
      operation: "call lab",
      object: socketPath,
      remedy: 'run "twill lab down" and "twill lab up"',
      cause,
    });
  }
  if (response.status !== 200 || response.body === null)
    throw new TwillError("unsupported", `the running lab does not know "${method}"`, {
      remedy: 'it was started by another version of Twill: run "twill lab up --replace"',
    });
  return response.body;
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } catch {
    // The lab was killed in mid-sentence; the caller sees that no result came.
  }
}

function portable(error: unknown): Extract<Line<never>, { error: unknown }>["error"] {
  if (!(error instanceof TwillError)) return { code: "internal", message: describeError(error) };
  const { code, message, operation, object, remedy, cause } = error;
  return {
    code,
    message: cause === undefined ? message : `${message}: ${describeError(cause)}`,
    ...(operation === undefined ? {} : { operation }),
    ...(object === undefined ? {} : { object }),
    ...(remedy === undefined ? {} : { remedy }),
  };
}
