import { type Clock, systemClock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import { EAGAIN } from "./errno.ts";
import {
  closeAll,
  type PeerCredentials,
  peerCredentials,
  receiveDescriptors,
  trySendDescriptors,
} from "./fd-passing.ts";
import { closeFile } from "./file.ts";
import { type FileLock, tryLock } from "./file-lock.ts";
import { encodeFrame, FrameReader } from "./frame.ts";
import { cString, libc, systemCall, trySystemCall } from "./libc.ts";
import { POLLIN, POLLOUT } from "./poll.ts";
import type { Poller, PollWatch } from "./poller.ts";
import { AF_UNIX, bindSocket, listenSocket, openSocket, SOCK_STREAM, tryAccept } from "./socket.ts";
import { encodeUnixPath } from "./unix-address.ts";

export interface UnixServerOptions {
  readonly path: string;
  /** Permissions of the socket file; 0600 unless given. */
  readonly mode?: number;
  /** Bytes of one message, both ways. 1 MiB unless given. */
  readonly maximumMessage?: number;
  /** Connections beyond are accepted and closed at once. 256 unless given. */
  readonly maximumConnections?: number;
  /** Descriptors with one message. 0 unless given; a peer that sends more is cut off. */
  readonly maximumDescriptors?: number;
  /** Milliseconds that a connection may be silent while nothing is being answered. 30,000 unless given. */
  readonly idleTimeout?: number;
  readonly clock?: Clock;
}

/** One message of a peer. Answer it, now or later, or close the connection. */
export interface UnixRequest {
  readonly bytes: Uint8Array;
  /** Open descriptors that came with it: the receiver's to close. */
  readonly descriptors: readonly number[];
  readonly peer: PeerCredentials;
  /** One answer to each request, in any order among connections. Does nothing when the peer has gone. */
  respond(bytes: Uint8Array, options?: ResponseOptions): void;
  /** Cuts the peer off. */
  close(): void;
}

export interface ResponseOptions {
  readonly descriptors?: readonly number[];
  /** The connection is closed once the answer is out: its peer has no other request. */
  readonly last?: boolean;
}

export interface UnixServer {
  readonly connections: number;
  /** Stops listening, cuts everybody off, removes the socket file. */
  close(): void;
}

/**
 * Listens on a unix stream socket of framed messages (frame.ts). The file appears under its name with its final permissions
 * and already listening: it is bound under a temporary name, then renamed. Whether the name's owner lives is told by a lock
 * file beside it, which the kernel frees when a process dies, so a stale socket is replaced, and of two servers that start
 * at once one is refused.
 * @throws TwillError `conflict` when another process serves this path.
 */
export function serveUnix(
  poller: Poller,
  options: UnixServerOptions,
  handle: (request: UnixRequest) => void,
): UnixServer {
  const lock = tryLock(`${options.path}.lock`);
  if (lock === undefined) {
    throw new TwillError("conflict", "another process serves this socket", {
      operation: "listen",
      object: options.path,
      remedy: "stop the other agent first; `ss -xlp` shows it",
    });
  }
  try {
    return new Server(poller, options, handle, lock, listen(options.path, options.mode ?? 0o600));
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Peers that may wait while we work; the kernel's own limit (net.core.somaxconn) is 4,096. */
const backlog = 4096;
/** Connections taken in one turn of the event loop. */
const crowd = 16;

function listen(path: string, mode: number): number {
  const temporary = `${path}.new`;
  const [from, to] = [cString(temporary), cString(path)];
  const address = encodeUnixPath(temporary);
  const fd = openSocket(AF_UNIX, SOCK_STREAM, 0, { nonBlocking: true });
  try {
    trySystemCall("unlink", () => libc.unlink(from));
    bindSocket(fd, address, { operation: "listen", object: path });
    systemCall("chmod", () => libc.chmod(from, mode), { operation: "listen", object: path });
    listenSocket(fd, backlog);
    systemCall("rename", () => libc.rename(from, to), { operation: "listen", object: path });
    return fd;
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

const receiveBuffer = new Uint8Array(64 * 1024);

class Server implements UnixServer {
  readonly fd: number;
  readonly limits: Required<Omit<UnixServerOptions, "path" | "mode">>;
  readonly poller: Poller;
  readonly handle: (request: UnixRequest) => void;
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #watch: PollWatch;
  readonly #connections = new Set<Connection>();
  readonly #sweep: Timer;
  #closed = false;

  constructor(
    poller: Poller,
    options: UnixServerOptions,
    handle: (request: UnixRequest) => void,
    lock: FileLock,
    fd: number,
  ) {
    this.fd = fd;
    this.poller = poller;
    this.handle = handle;
    this.#lock = lock;
    this.#path = options.path;
    this.limits = {
      maximumMessage: options.maximumMessage ?? 1024 * 1024,
      maximumConnections: options.maximumConnections ?? 256,
      maximumDescriptors: options.maximumDescriptors ?? 0,
      idleTimeout: options.idleTimeout ?? 30_000,
      clock: options.clock ?? systemClock,
    };
    this.#watch = poller.watch(fd, POLLIN, () => this.#accept());
    this.#sweep = setInterval(() => this.#closeIdle(), Math.max(10, this.limits.idleTimeout / 4));
    this.#sweep.unref();
  }

  get connections(): number {
    return this.#connections.size;
  }

  #accept(): void {
    // Not all of a crowd at once: what else waits on the event loop has its turn too. The poller calls again.
    for (let count = 0; count < crowd; count++) {
      const fd = tryAccept(this.fd);
      // Anything else than a connection (EMFILE, ECONNABORTED) passes; the poller calls again while somebody waits.
      if (fd < 0) return;
      if (this.#connections.size >= this.limits.maximumConnections) closeFile(fd);
      else this.#welcome(new Connection(this, fd));
    }
  }

  #welcome(connection: Connection): void {
    this.#connections.add(connection);
    // Who asks once has sent its request by now: with luck the poller need never hear of it.
    connection.receive();
    connection.watch();
  }

  #closeIdle(): void {
    const before = this.limits.clock.monotonic() - this.limits.idleTimeout;
    for (const connection of [...this.#connections]) if (connection.idleSince <= before) connection.close();
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#watch.close();
    for (const connection of [...this.#connections]) connection.close();
    const path = cString(this.#path);
    trySystemCall("unlink", () => libc.unlink(path));
    closeFile(this.fd);
    this.#lock.release();
  }
}

class Connection {
  readonly #server: Server;
  readonly #fd: number;
  readonly #peer: PeerCredentials;
  readonly #frames: FrameReader;
  #watch: PollWatch | undefined;
  #descriptors: number[] = [];
  #outgoing: { readonly bytes: Uint8Array; descriptors: readonly number[]; sent: number }[] = [];
  #outgoingBytes = 0;
  #unanswered = 0;
  #active: number;
  /** To be closed when everything is sent. */
  #ending = false;
  #closed = false;

  constructor(server: Server, fd: number) {
    this.#server = server;
    this.#fd = fd;
    this.#peer = peerCredentials(fd);
    this.#frames = new FrameReader(server.limits.maximumMessage);
    this.#active = server.limits.clock.monotonic();
  }

  /** Leaves everything further to the poller. */
  watch(): void {
    if (this.#closed) return;
    this.#watch = this.#server.poller.watch(this.#fd, this.#events, (returned) => {
      if ((returned & POLLOUT) !== 0) this.#flush();
      if (!this.#closed && (returned & ~POLLOUT) !== 0) this.receive();
    });
  }

  get #events(): number {
    return this.#outgoing.length === 0 ? POLLIN : POLLIN | POLLOUT;
  }

  /** Infinity while an answer of ours is due: that time is the handler's. */
  get idleSince(): number {
    return this.#unanswered > 0 ? Number.POSITIVE_INFINITY : this.#active;
  }

  receive(): void {
    const { maximumDescriptors, maximumMessage, clock } = this.#server.limits;
    const received = receiveDescriptors(this.#fd, receiveBuffer, maximumDescriptors);
    if (received.length === -EAGAIN) return;
    this.#descriptors.push(...received.descriptors);
    if (received.length <= 0 || received.surplus || this.#descriptors.length > maximumDescriptors) {
      this.close();
      return;
    }
    this.#active = clock.monotonic();
    let frames: Uint8Array[];
    try {
      frames = this.#frames.push(receiveBuffer.subarray(0, received.length));
    } catch {
      // A length beyond the limit: nothing behind it can be trusted.
      this.close();
      return;
    }
    for (const bytes of frames) {
      if (this.#closed) return;
      // A peer that asks without reading the answers would pile them up here.
      if (this.#outgoingBytes > maximumMessage) {
        this.close();
        return;
      }
      this.#request(bytes);
    }
  }

  #request(bytes: Uint8Array): void {
    const descriptors = this.#descriptors;
    this.#descriptors = [];
    this.#unanswered++;
    let answered = false;
    this.#server.handle({
      bytes,
      descriptors,
      peer: this.#peer,
      respond: (answer, { descriptors: withDescriptors = [], last = false } = {}) => {
        if (answered) throw new TwillError("internal", "a request is answered once");
        answered = true;
        this.#unanswered--;
        this.#active = this.#server.limits.clock.monotonic();
        this.#ending ||= last;
        this.#send(answer, withDescriptors);
      },
      close: () => this.close(),
    });
  }

  #send(answer: Uint8Array, descriptors: readonly number[]): void {
    if (this.#closed) return;
    const bytes = encodeFrame(answer);
    this.#outgoing.push({ bytes, descriptors, sent: 0 });
    this.#outgoingBytes += bytes.length;
    this.#flush();
  }

  #flush(): void {
    for (let next = this.#outgoing[0]; next !== undefined; next = this.#outgoing[0]) {
      const rest = next.bytes.subarray(next.sent);
      const result = trySendDescriptors(this.#fd, rest, next.sent === 0 ? next.descriptors : []);
      if (result === -EAGAIN) break;
      if (result < 0) {
        this.close();
        return;
      }
      next.sent += result;
      this.#outgoingBytes -= result;
      if (next.sent === next.bytes.length) this.#outgoing.shift();
    }
    if (this.#ending && this.#outgoing.length === 0) this.close();
    else this.#watch?.change(this.#events);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.close();
    closeAll(this.#descriptors);
    this.#descriptors = [];
    this.#outgoing = [];
    closeFile(this.#fd);
    this.#server.forget(this);
  }
}
