import type { Address } from "../../base/address.ts";
import { tryAddress } from "../../base/address.ts";
import { describeError, TwillError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { decodeAnswer, decodeRequest, encodeError, encodeRequest, encodeResult } from "../message.ts";
import { PieceReader, type SessionKeys, seal, sessionKeys, unseal } from "./sealed.ts";

/**
 * How one agent asks another (twill trace, doctor, capture, bundle): one TCP connection a question, to the port number that
 * the prober uses with UDP.
 *
 *     client → server   "TWL" 1, 16 random bytes
 *     server → client   16 random bytes
 *     client → server   the request, sealed
 *     server → client   the answer, sealed; then it hangs up
 *
 * Only who has the cluster's key can ask, and only from an address of a node of the cluster.
 */
const greeting = Uint8Array.of(0x54, 0x57, 0x4c, 1);
const nonceSize = 16;
const maximumRequest = 256 << 10;
const maximumAnswer = 32 << 20;
const maximumConnections = 16;
/** From the first byte to the whole request. */
const requestWithinMs = 10_000;
const connectWithinMs = 5_000;

export interface ChannelServerOptions {
  readonly port: number;
  readonly key: Uint8Array;
  readonly random: Random;
  readonly log: Log;
  /** Name of the node that has this address; undefined: nobody's, and it is hung up. */
  readonly peerAt: (address: Address) => string | undefined;
  /** What a node may ask is decided here. */
  readonly answer: (peer: string, method: string, params: unknown) => Promise<unknown>;
}

interface Conversation {
  readonly pieces: PieceReader;
  readonly peer: string | undefined;
  keys: SessionKeys | undefined;
  asked: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** What the socket would not take at once. */
  rest: Uint8Array;
}

/** @returns what ends it. A port that is taken is logged: the rest of the agent does not depend on this. */
export function serveChannel(options: ChannelServerOptions): () => void {
  const { log, port } = options;
  for (const hostname of ["::", "0.0.0.0"]) {
    try {
      const server = listen(hostname, options);
      return () => server.stop(true);
    } catch (error) {
      // A kernel without IPv6 has no "::".
      if (hostname === "0.0.0.0") log.warn("other nodes cannot ask this one", { port, reason: describeError(error) });
    }
  }
  return () => {};
}

function listen(hostname: string, options: ChannelServerOptions) {
  let connections = 0;
  return Bun.listen<Conversation>({
    hostname,
    port: options.port,
    socket: {
      open(socket) {
        connections++;
        const address = tryAddress(socket.remoteAddress.replace(/^::ffff:(?=.*\.)/, "").replace(/%.*$/, ""));
        const peer = address === undefined ? undefined : options.peerAt(address);
        const timer = setTimeout(() => socket.terminate(), requestWithinMs);
        socket.data = {
          pieces: new PieceReader(),
          peer,
          keys: undefined,
          asked: false,
          timer,
          rest: new Uint8Array(0),
        };
        if (peer === undefined || connections > maximumConnections) socket.terminate();
      },
      data(socket, bytes) {
        try {
          receive(socket, bytes, options);
        } catch (error) {
          options.log.debug("another agent's question was not understood", { reason: describeError(error) });
          socket.terminate();
        }
      },
      drain(socket) {
        flush(socket);
      },
      close(socket) {
        connections--;
        clearTimeout(socket.data.timer);
      },
      error(_, error) {
        options.log.debug("question of another agent", { reason: describeError(error) });
      },
    },
  });
}

type ServerSocket = Bun.Socket<Conversation>;

function receive(socket: ServerSocket, bytes: Uint8Array, options: ChannelServerOptions): void {
  const conversation = socket.data;
  const { pieces, peer } = conversation;
  if (peer === undefined || conversation.asked) return;
  pieces.push(bytes);
  if (conversation.keys === undefined) {
    const hello = pieces.take(greeting.length + nonceSize);
    if (hello === undefined) return;
    if (Buffer.compare(hello.subarray(0, greeting.length), greeting) !== 0)
      throw new TwillError("corrupt", "this is no agent");
    const nonce = options.random.bytes(nonceSize);
    conversation.keys = sessionKeys(options.key, hello.subarray(greeting.length), nonce);
    socket.write(nonce);
  }
  const { keys } = conversation;
  const body = pieces.frame(maximumRequest);
  if (body === undefined) return;
  const { method, params } = decodeRequest(unseal(keys.toServer, 0, body));
  conversation.asked = true;
  clearTimeout(conversation.timer);
  void options
    .answer(peer, method, params)
    .then(encodeResult, encodeError)
    .then((reply) => {
      conversation.rest = seal(keys.toClient, 0, reply);
      flush(socket);
    });
}

function flush(socket: ServerSocket): void {
  const conversation = socket.data;
  if (conversation.rest.length === 0) return;
  const written = socket.write(conversation.rest);
  conversation.rest = conversation.rest.subarray(Math.max(0, written));
  if (conversation.rest.length === 0) socket.end();
}

export interface AskOptions {
  readonly address: Address;
  readonly port: number;
  readonly key: Uint8Array;
  readonly random: Random;
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
}

/** @throws TwillError: what the other agent answered; `unavailable` when it does not, `denied` for another cluster's key. */
export async function askPeer(method: string, params: unknown, options: AskOptions): Promise<unknown> {
  const { address, port, timeout } = options;
  const reply = Promise.withResolvers<unknown>();
  const away = (why: string, cause?: unknown) =>
    reply.reject(
      new TwillError("unavailable", why, {
        operation: "ask agent",
        object: `${address} port ${port}`,
        remedy: "is twill-agent running there, and may TCP to this port pass between the nodes?",
        ...(cause === undefined ? {} : { cause }),
      }),
    );
  const client = new Client(method, params, options, reply);
  const timer = setTimeout(() => away(`no answer within ${timeout / 1000} s`), timeout);
  // The kernel would try for two minutes (tcp_syn_retries).
  const connectTimer = setTimeout(() => away(`no connection within ${connectWithinMs / 1000} s`), connectWithinMs);
  const connecting = Bun.connect({
    hostname: address,
    port,
    socket: {
      open: (socket) => {
        clearTimeout(connectTimer);
        client.open(socket);
      },
      data: (_, bytes) => client.receive(bytes),
      drain: () => client.flush(),
      close: () => away("it hung up without an answer"),
      error: (_, error) => away(describeError(error)),
      connectError: (_, error) => away("it cannot be reached", error),
    },
  });
  connecting.catch(() => {}); // connectError has told it
  try {
    return await reply.promise;
  } finally {
    clearTimeout(timer);
    clearTimeout(connectTimer);
    connecting.then((socket) => socket.terminate()).catch(() => {});
  }
}

class Client {
  readonly #options: AskOptions;
  readonly #reply: PromiseWithResolvers<unknown>;
  readonly #pieces = new PieceReader();
  readonly #nonce: Uint8Array;
  readonly #request: Uint8Array;
  #socket: Bun.Socket<unknown> | undefined;
  #keys: SessionKeys | undefined;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(method: string, params: unknown, options: AskOptions, reply: PromiseWithResolvers<unknown>) {
    this.#options = options;
    this.#reply = reply;
    this.#nonce = options.random.bytes(nonceSize);
    this.#request = encodeRequest({ method, params });
  }

  open(socket: Bun.Socket<unknown>): void {
    this.#socket = socket;
    this.#send(new Uint8Array(Buffer.concat([greeting, this.#nonce])));
  }

  receive(bytes: Uint8Array): void {
    try {
      this.#pieces.push(bytes);
      this.#read();
    } catch (error) {
      this.#reply.reject(error);
    }
  }

  flush(): void {
    if (this.#rest.length === 0 || this.#socket === undefined) return;
    this.#rest = this.#rest.subarray(Math.max(0, this.#socket.write(this.#rest)));
  }

  #read(): void {
    if (this.#keys === undefined) {
      const nonce = this.#pieces.take(nonceSize);
      if (nonce === undefined) return;
      this.#keys = sessionKeys(this.#options.key, this.#nonce, nonce);
      this.#send(seal(this.#keys.toServer, 0, this.#request));
    }
    const body = this.#pieces.frame(maximumAnswer);
    if (body !== undefined) this.#reply.resolve(decodeAnswer(unseal(this.#keys.toClient, 0, body)));
  }

  #send(bytes: Uint8Array): void {
    this.#rest = bytes;
    this.flush();
  }
}
