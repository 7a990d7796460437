import { TwillError } from "../base/errors.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS, ENOENT, errnoError } from "./errno.ts";
import { closeAll, receiveDescriptors, trySendDescriptors } from "./fd-passing.ts";
import { closeFile } from "./file.ts";
import { encodeFrame, FrameReader } from "./frame.ts";
import { POLLIN, POLLOUT, pollOne } from "./poll.ts";
import { AF_UNIX, openSocket, SOCK_STREAM, tryConnect } from "./socket.ts";
import { encodeUnixPath } from "./unix-address.ts";

export interface UnixRequestOptions {
  readonly path: string;
  /** Sent beside the request; they stay open here. */
  readonly descriptors?: readonly number[];
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
  /** Bytes of the answer. 1 MiB unless given. */
  readonly maximumMessage?: number;
}

/**
 * One framed request and its answer, blocking the thread: for short-lived programs, which must not pay for a poller's
 * thread. @throws TwillError `unavailable`: nobody listens, or the time is over (then the server may still act on the request).
 */
export function requestUnix(request: Uint8Array, options: UnixRequestOptions): Uint8Array {
  const details = { operation: "ask", object: options.path };
  const deadline = performance.now() + options.timeout;
  const address = encodeUnixPath(options.path);
  const fd = openSocket(AF_UNIX, SOCK_STREAM, 0, { nonBlocking: true });
  const wait = (events: number) => {
    const left = Math.ceil(deadline - performance.now());
    if (left <= 0 || pollOne(fd, events, left) === 0) {
      throw new TwillError("unavailable", `no answer within ${options.timeout} ms`, details);
    }
  };
  try {
    connect(fd, address, options, deadline);
    let rest = encodeFrame(request);
    let descriptors = options.descriptors ?? [];
    while (rest.length > 0) {
      const sent = trySendDescriptors(fd, rest, descriptors);
      if (sent === -EAGAIN) wait(POLLOUT);
      else if (sent < 0) throw gone(-sent, details);
      else {
        rest = rest.subarray(sent);
        descriptors = [];
      }
    }
    const frames = new FrameReader(options.maximumMessage ?? 1024 * 1024);
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      wait(POLLIN);
      const received = receiveDescriptors(fd, buffer, 0);
      closeAll(received.descriptors);
      if (received.length === -EAGAIN) continue;
      if (received.length < 0) throw gone(-received.length, details);
      if (received.length === 0) throw new TwillError("unavailable", "the server hung up without an answer", details);
      const answer = frames.push(buffer.subarray(0, received.length))[0];
      if (answer !== undefined) return answer;
    }
  } finally {
    closeFile(fd);
  }
}

function connect(fd: number, address: Uint8Array, options: UnixRequestOptions, deadline: number): void {
  for (;;) {
    const result = tryConnect(fd, address);
    if (result === 0) return;
    // A full backlog answers EAGAIN on unix sockets, and poll cannot wait for its end.
    const busy = result === -EAGAIN || result === -EINPROGRESS;
    if (busy && performance.now() < deadline) {
      Bun.sleepSync(2);
      continue;
    }
    const details = { operation: "ask", object: options.path };
    if (busy) throw new TwillError("unavailable", "the server is too busy to accept", details);
    if (result !== -ENOENT && result !== -ECONNREFUSED) throw errnoError(-result, details);
    throw new TwillError("unavailable", "nobody listens on this socket", { ...details, errno: -result });
  }
}

const gone = (errno: number, details: { operation: string; object: string }): TwillError =>
  new TwillError("unavailable", "the server hung up", { ...details, errno });
