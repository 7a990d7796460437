import type { Address, Family } from "../../src/base/address.ts";
import { systemRandom } from "../../src/base/random.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS, errnoText } from "../../src/kernel/errno.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  getOption,
  MSG_DONTWAIT,
  openSocket,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  tryConnect,
  tryReceive,
  trySend,
} from "../../src/kernel/socket.ts";
import { decodeEchoReply, encodeEchoRequest } from "./echo.ts";
import type { ProbePlace } from "./place.ts";
import { type Answering, readToken, type Sightings, writeToken } from "./responder.ts";
import type { Endpoint, Pair, Protocol, Verdict } from "./result.ts";

/** A pair of which at least the sender's place is known. */
export interface PlacedPair<To extends Endpoint = ProbePlace> extends Pair {
  readonly from: ProbePlace;
  readonly to: To;
}
export type Verdicts = Readonly<Record<Protocol, Verdict>>;

/** Milliseconds until silence is a verdict, and until a question is repeated: a first packet may be lost for good reasons. */
const patience = 1000;
const repeatAfter = 300;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;

/** Tries all three protocols for all pairs at once, so that the silent ones are waited for together. */
export async function reach<To extends Endpoint>(
  pairs: readonly PlacedPair<To>[],
  responderAt: (place: To, family: Family) => Answering,
  signal: AbortSignal,
): Promise<Verdicts[]> {
  const sightings: Sightings = new Map();
  const responders = [...new Set(pairs.map((pair) => responderAt(pair.to, pair.family)))];
  const attempts: Attempt[] = [];
  // An echo's identifier is its connection: with those of a check before, it would pass as that one's, whatever policy says now.
  const first = 1 + systemRandom.below(0x8000);
  try {
    for (const pair of pairs) {
      const responder = responderAt(pair.to, pair.family);
      for (const protocol of ["tcp", "udp", "icmp"] as const)
        attempts.push(new Attempt(pair, protocol, responder, first + attempts.length));
    }
    const start = performance.now();
    let repeatAt = repeatAfter;
    for (;;) {
      for (const responder of responders) responder.answer(sightings);
      const waiting = attempts.filter((attempt) => !attempt.look());
      const elapsed = performance.now() - start;
      if (waiting.length === 0 || elapsed > patience) break;
      if (elapsed > repeatAt) {
        for (const attempt of waiting) attempt.repeat();
        repeatAt += repeatAfter;
      }
      await Bun.sleep(1);
      signal.throwIfAborted();
    }
  } finally {
    for (const attempt of attempts) attempt.close();
  }
  return pairs.map((_, index) => {
    const verdict = (offset: number): Verdict => {
      const attempt = attempts[index * 3 + offset];
      if (attempt === undefined) throw new RangeError("an attempt is missing");
      return attempt.verdict(sightings.get(attempt.token));
    };
    return { tcp: verdict(0), udp: verdict(1), icmp: verdict(2) };
  });
}

/** One protocol of one pair: a socket in the sender's namespace, and what has become of it. */
class Attempt {
  readonly token: number;
  readonly #pair: PlacedPair<Endpoint>;
  readonly #protocol: Protocol;
  readonly #port: number;
  #fd: number;
  readonly #buffer = new Uint8Array(256);
  #sent = false;
  #answered = false;
  #failure: Verdict | undefined;

  constructor(pair: PlacedPair<Endpoint>, protocol: Protocol, responder: Answering, token: number) {
    this.token = token;
    this.#pair = pair;
    this.#protocol = protocol;
    this.#port = { tcp: responder.tcpPort, udp: responder.udpPort, icmp: 0 }[protocol];
    this.#fd = this.#connect();
    if (protocol !== "tcp") this.#send();
  }

  #connect(): number {
    const { family, from, to } = this.#pair;
    const [type, number] = {
      tcp: [SOCK_STREAM, 0] as const,
      udp: [SOCK_DGRAM, 0] as const,
      icmp: [SOCK_RAW, family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6] as const,
    }[this.#protocol];
    const domain = family === 4 ? AF_INET : AF_INET6;
    const fd = inNetns(from.netns, () => openSocket(domain, type, number, { nonBlocking: true }));
    this.#note(tryConnect(fd, encodeSockaddr(addressIn(to, family), this.#port)));
    return fd;
  }

  /** Looks what has come. Whether the verdict is final. */
  look(): boolean {
    if (this.#answered || this.#failure !== undefined) return true;
    if (this.#protocol === "tcp") {
      this.#note(-getOption(this.#fd, SOL_SOCKET, SO_ERROR));
      if (this.#failure === undefined && !this.#sent) this.#send();
    }
    for (;;) {
      const length = tryReceive(this.#fd, this.#buffer, MSG_DONTWAIT);
      if (length <= 0) {
        this.#note(length);
        break;
      }
      if (this.#isAnswer(this.#buffer.subarray(0, length))) {
        this.#answered = true;
        break;
      }
    }
    return this.#answered || this.#failure !== undefined;
  }

  repeat(): void {
    if (this.#protocol !== "tcp") this.#send();
    else if (!this.#sent) {
      // The kernel would repeat its SYN only after a second (RFC 6298 section 2.1).
      closeFile(this.#fd);
      this.#fd = this.#connect();
    }
  }

  verdict(seen: Address | undefined): Verdict {
    const sighting = seen === undefined ? {} : { seen };
    if (this.#answered) return { outcome: "connected", ...sighting };
    return this.#failure ?? { outcome: "timed out", ...sighting };
  }

  close(): void {
    closeFile(this.#fd);
  }

  #send(): void {
    const bytes =
      this.#protocol === "icmp"
        ? encodeEchoRequest(this.#pair.family, { identifier: this.token & 0xffff, sequence: 1 })
        : writeToken(this.token);
    const result = trySend(this.#fd, bytes);
    if (result > 0) this.#sent = true;
    else this.#note(result);
  }

  /** A raw socket sees the answers to everybody in its namespace. */
  #isAnswer(bytes: Uint8Array): boolean {
    if (this.#protocol !== "icmp") return readToken(bytes) === this.token;
    return decodeEchoReply(this.#pair.family, bytes)?.identifier === (this.token & 0xffff);
  }

  #note(result: number): void {
    if (result >= 0 || result === -EAGAIN || result === -EINPROGRESS) return;
    if (result === -ECONNREFUSED) this.#failure = { outcome: "refused" };
    else this.#failure = { outcome: "unreachable", reason: errnoText(-result) };
  }
}

export function addressIn(endpoint: Endpoint, family: Family): Address {
  const address = endpoint.addresses[family];
  if (address === undefined) throw new RangeError(`${endpoint.name} has no IPv${family} address`);
  return address;
}
