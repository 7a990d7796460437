import type { Clock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { ClusterAccess } from "./access.ts";
import { ApiError, type Asked, parseStatus, refusal } from "./api-error.ts";
import { backoff } from "./backoff.ts";
import { type Attempted, ConnectionError, connectionError, timedOut } from "./connection-error.ts";
import type { Proof } from "./credentials.ts";
import { Limiter } from "./limiter.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As resourcePath makes it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of `body`; application/json without. */
  readonly contentType?: string;
  readonly asked: Asked;
  readonly signal?: AbortSignal | undefined;
}

export interface TransportOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Until the whole answer is there (of a stream: its beginning), milliseconds. */
  readonly requestTimeout?: number;
  /** How long a request is tried again for in all, milliseconds. */
  readonly retryFor?: number;
}

/** Twice what an API server gives its own reads (kube-apiserver: 60 s for all, but etcd answers or fails within 10). */
const REQUEST_TIMEOUT = 20_000;
const RETRY_FOR = 10_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 2_000;
/** A flood of ours waits here, where it costs nothing, and not at the API server (default: 400 reads, 200 writes in all). */
const AT_ONCE = 16;

/**
 * Requests to one API server over Bun's fetch, which keeps connections (HTTP/1.1) and verifies TLS. What certainly did
 * not happen is tried again, and reads always are; a write whose answer was lost is the caller's to look after
 * (ConnectionError.ambiguous).
 */
export class Transport {
  readonly access: ClusterAccess;
  readonly #options: TransportOptions;
  readonly #limiter = new Limiter(AT_ONCE);

  constructor(access: ClusterAccess, options: TransportOptions) {
    this.access = access;
    this.#options = options;
  }

  /** The answer's JSON. @throws ApiError for a refusal, ConnectionError without an answer, TwillError for no credentials. */
  json(request: ApiRequest): Promise<unknown> {
    return this.#limiter.run(() =>
      this.#persistently(request, async () => this.#parse(request, await this.#text(request))),
    );
  }

  /** An answer whose body goes on for as long as it likes. Aborting the signal ends it. Not repeated: its caller goes on elsewhere. */
  async stream(request: ApiRequest & { readonly signal: AbortSignal }): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#authorized(request, request.signal);
    if (response.body === null) throw this.#connectionError(new Error("an answer without a body"), request);
    return response.body;
  }

  #connectionError(failure: unknown, request: ApiRequest): ConnectionError {
    return connectionError(failure, this.#attempted(request));
  }

  /** For whoever reads a stream: what its failure means. */
  broken(failure: unknown, request: ApiRequest): TwillError {
    return failure instanceof TwillError ? failure : this.#connectionError(failure, request);
  }

  async #persistently<T>(request: ApiRequest, attempt: () => Promise<T>): Promise<T> {
    const { clock, random, retryFor = RETRY_FOR } = this.#options;
    const end = clock.monotonic() + retryFor;
    for (let failures = 0; ; failures++) {
      try {
        return await attempt();
      } catch (error) {
        const asked = (error instanceof ApiError ? (error.retryAfter ?? 0) : 0) * 1000;
        // Not all at the very moment that all were told.
        const pause = asked + backoff(failures, FIRST_PAUSE, LONGEST_PAUSE, random);
        const hopeless = !worthRepeating(error, request.method === "GET") || clock.monotonic() + pause > end;
        if (hopeless || request.signal?.aborted) throw error;
        await clock.sleep(pause, request.signal);
        if (request.signal?.aborted) throw error;
      }
    }
  }

  async #text(request: ApiRequest): Promise<string> {
    const { clock, requestTimeout = REQUEST_TIMEOUT } = this.#options;
    const over = new AbortController();
    let late = false;
    void clock.sleep(requestTimeout, over.signal).then(() => {
      late = !over.signal.aborted;
      over.abort();
    });
    const signal = request.signal === undefined ? over.signal : AbortSignal.any([over.signal, request.signal]);
    try {
      const response = await this.#authorized(request, signal);
      return await response.text().catch((failure: unknown) => {
        throw this.#connectionError(failure, request);
      });
    } catch (error) {
      throw late ? timedOut(requestTimeout, this.#attempted(request)) : error;
    } finally {
      over.abort();
    }
  }

  /** A success, with the credentials of now; when these were refused, once more with fresh ones. */
  async #authorized(request: ApiRequest, signal: AbortSignal): Promise<Response> {
    const { credentials } = this.access;
    for (let again = true; ; again = false) {
      const proof = await credentials.proof();
      const response = await this.#once(request, proof, signal);
      if (response.ok) return response;
      const error = await this.#refusal(request, response);
      if (!(response.status === 401 && again && credentials.refused(proof))) throw error;
    }
  }

  async #once(request: ApiRequest, proof: Proof, signal: AbortSignal): Promise<Response> {
    const { server, authority, insecure, tlsServerName, proxy } = this.access;
    const url = new URL(`${server}${request.path}`);
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
    const init: BunFetchRequestInit = {
      method: request.method,
      headers: {
        accept: "application/json",
        "user-agent": "twill",
        ...(proof.token !== undefined && { authorization: `Bearer ${proof.token}` }),
        ...(request.body !== undefined && { "content-type": request.contentType ?? "application/json" }),
      },
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
      signal,
      // On a connection of its own, which Bun does not repeat by itself (see write.ts): a second deletion finds nothing,
      // and nobody could tell that the first one did it.
      keepalive: request.method !== "DELETE",
      redirect: "manual", // the API never redirects; a token must not follow where someone else points
      tls: {
        rejectUnauthorized: !insecure,
        ...(authority && { ca: authority.read() }),
        ...(tlsServerName && { serverName: tlsServerName }),
        ...(proof.certificate && { cert: proof.certificate }),
        ...(proof.key && { key: proof.key }),
      },
      ...(proxy && { proxy }),
    };
    try {
      return await fetch(url, init);
    } catch (failure) {
      throw this.#connectionError(failure, request);
    }
  }

  async #refusal(request: ApiRequest, response: Response): Promise<ApiError> {
    const text = await response.text().catch(() => "");
    const header = response.headers.get("retry-after") ?? "";
    return refusal(request.asked, {
      status: response.status,
      retryAfter: /^[0-9]{1,6}$/.test(header) ? Number(header) : undefined,
      body: parseStatus(text),
    });
  }

  #parse(request: ApiRequest, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      const { operation, object } = this.#attempted(request);
      throw new TwillError("corrupt", `the answer is not JSON: ${text.slice(0, 80)}`, {
        operation,
        object,
        remedy: "check the address of the API server",
      });
    }
  }

  #attempted({ asked }: ApiRequest): Attempted {
    return { operation: asked.verb, object: asked.object, server: this.access.server, source: this.access.source };
  }
}

/** `read`: it does no harm to ask twice. */
function worthRepeating(error: unknown, read: boolean): boolean {
  if (error instanceof ConnectionError) return error.code === "unavailable" && (read || !error.ambiguous);
  if (!(error instanceof ApiError)) return false;
  // Both are refusals at the door (API priority and fairness; a server that starts or stops): nothing was done.
  if (error.status === 429 || (error.status === 503 && error.retryAfter !== undefined)) return true;
  return read && error.status >= 500 && error.reason !== "Timeout";
}

/** Whether a write may have been carried out although it failed. */
export const isAmbiguous = (error: unknown): boolean =>
  (error instanceof ConnectionError && error.ambiguous) || (error instanceof ApiError && error.status >= 500);
