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
  SOL_SOCKET,
  tryConnect,
  tryReceive,
  trySend,
} from "../../src/kernel/socket.ts";
import { underlayDevice } from "../underlay.ts";
import { dontFragment, knownMtu, udpOverhead, waitAtMost } from "./options.ts";
import { countersOf, pathTaken } from "./path.ts";
import { addressIn, type PlacedPair } from "./reach.ts";
import { type Answering, type Responder, writeToken } from "./responder.ts";
import type { Endpoint, Pair } from "./result.ts";

export interface Measured {
  readonly path?: string;
  /** Microseconds; absent when answers got lost. */
  readonly rtt?: number;
  readonly mtu?: number;
  /** What the kernel believes of the path, where that is more: larger packets vanish without an ICMP error. */
  readonly promisedMtu?: number;
}

const burst = 20;
export const roundTrips = 11;
/** Bytes of payload over IPv4 (the length field counts its own header and IP's); a loopback device claims more. */
const largestDatagram = 65507;
const smallest = { 4: 576, 6: 1280 } as const;

/** Path, round trip and path MTU of a pair that answers UDP. Synchronous: both ends are ours, and nothing else runs meanwhile. */
export function measure(pair: PlacedPair, responder: Responder): Measured {
  return withSocket(pair, responder, (fd) => {
    const path = observePath(pair, fd, responder);
    return path === undefined ? {} : { path, ...measureRoundTrips(pair, fd, responder) };
  });
}

/** A connected datagram socket in the sender's namespace, for as long as `work` takes. */
export function withSocket<T>(pair: PlacedPair<Endpoint>, responder: Answering, work: (fd: number) => T): T {
  const domain = pair.family === 4 ? AF_INET : AF_INET6;
  const fd = inNetns(pair.from.netns, () => openSocket(domain, SOCK_DGRAM, 0));
  try {
    dontFragment(fd, pair.family);
    waitAtMost(fd);
    tryConnect(fd, encodeSockaddr(addressIn(pair.to, pair.family), responder.udpPort));
    return work(fd);
  } finally {
    closeFile(fd);
  }
}

export function measureRoundTrips(pair: Pair, fd: number, responder: Answering): Omit<Measured, "path"> {
  const rtt = medianRoundTrip(fd, responder);
  return { ...(rtt === undefined ? {} : { rtt }), ...pathMtu(pair, fd, responder) };
}

/** What the sender's node and the receiver's saw of one burst; both are named when they disagree. */
function observePath(pair: PlacedPair, fd: number, responder: Responder): string | undefined {
  const links = (end: PlacedPair["from"]) => end.counters.links({ statistics: true });
  const sentBefore = countersOf(links(pair.from), "sent");
  const receivedBefore = countersOf(links(pair.to), "received");
  const bytes = writeToken(0, 64);
  for (let count = 0; count < burst; count++) {
    trySend(fd, bytes);
    if (responder.receiveDatagram() === undefined) return undefined; // broke a moment ago
  }
  const left = pathTaken(sentBefore, countersOf(links(pair.from), "sent"), underlayDevice, burst);
  if (pair.to.kind === "outside") return left;
  const arrived = pathTaken(receivedBefore, countersOf(links(pair.to), "received"), underlayDevice, burst);
  return left === arrived ? left : `${left}/${arrived}`;
}

/** There and back, with an answer of the same size. */
function roundTrip(fd: number, responder: Answering, bytes: Uint8Array, buffer: Uint8Array): boolean {
  if (trySend(fd, bytes) !== bytes.length) return false;
  // Within one machine it is there when send returns; so is the ICMP error, which saves the waiting.
  const answered =
    responder.answerDatagram(MSG_DONTWAIT) || (getOption(fd, SOL_SOCKET, SO_ERROR) === 0 && responder.answerDatagram());
  return answered && tryReceive(fd, buffer) === bytes.length;
}

function medianRoundTrip(fd: number, responder: Answering): number | undefined {
  const bytes = writeToken(0, 56);
  const buffer = new Uint8Array(256);
  const times: number[] = [];
  for (let count = 0; count < roundTrips; count++) {
    const start = performance.now();
    if (!roundTrip(fd, responder, bytes, buffer)) return undefined;
    times.push((performance.now() - start) * 1000);
  }
  return times.sort((a, b) => a - b)[roundTrips >> 1];
}

/**
 * The largest datagram that is echoed whole with fragmentation forbidden. The kernel's own opinion (from routes, devices
 * and ICMP) is tried first; where packets of that size vanish without a word, it is searched for.
 */
function pathMtu(pair: Pair, fd: number, responder: Answering): Pick<Measured, "mtu" | "promisedMtu"> {
  const overhead = udpOverhead[pair.family];
  const buffer = new Uint8Array(65536);
  const fits = (mtu: number) => {
    // An ICMP error to the datagram before would be reported to this one, and its late answer taken for this one's.
    getOption(fd, SOL_SOCKET, SO_ERROR);
    while (tryReceive(fd, buffer, MSG_DONTWAIT) >= 0) {}
    return roundTrip(fd, responder, writeToken(0, Math.min(mtu - overhead, largestDatagram)), buffer);
  };
  for (let attempt = 0; attempt < 4; attempt++) {
    const believed = knownMtu(fd, pair.family);
    if (fits(believed)) return { mtu: believed };
    // The attempt may have taught the kernel better: ICMP "fragmentation needed" lowers what it believes.
    if (knownMtu(fd, pair.family) === believed) break;
  }
  let low: number = smallest[pair.family];
  const promisedMtu = knownMtu(fd, pair.family);
  let high = promisedMtu + 1;
  if (!fits(low)) return {};
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low < promisedMtu ? { mtu: low, promisedMtu } : { mtu: low };
}
