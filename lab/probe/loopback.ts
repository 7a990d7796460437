import type { Family } from "../../src/base/address.ts";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import { currentNetns } from "../../src/kernel/netns.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import type { Observed } from "./judge.ts";
import { measureRoundTrips, roundTrips, withSocket } from "./measure.ts";
import { countersOf } from "./path.ts";
import type { ProbePlace } from "./place.ts";
import { type PlacedPair, reach } from "./reach.ts";
import { elsewhere, Responder, type Sightings } from "./responder.ts";
import type { Protocol, Verdict } from "./result.ts";

/**
 * The check inside one pod: two processes of it, one that answers on the loopback address and one that calls it, as
 * containers of a pod do.
 */
const loopbackAddress: Readonly<Record<Family, Address>> = { 4: parseAddress("127.0.0.1"), 6: parseAddress("::1") };

/** Starts a program of ours in the pod's namespace, arguments behind "twill lab". */
export type RunInPod = (place: ProbePlace, args: readonly string[]) => Bun.Subprocess<"pipe", "pipe", "inherit">;

interface Ports {
  readonly udp: number;
  readonly tcp: number;
}

export async function checkLoopback(pair: PlacedPair, run: RunInPod): Promise<Observed> {
  const family = String(pair.family);
  const server = run(pair.from, ["lo-answer", family]);
  try {
    const output = linesOf(server.stdout);
    const ports = parse<Ports>((await output.next()).value);
    const client = run(pair.from, ["lo-call", family, String(ports.udp), String(ports.tcp)]);
    const observed = parse<Observed>(await new Response(client.stdout).text());
    await server.stdin.end();
    const sightings = parse<[number, Address][]>((await output.next()).value);
    return { ...observed, verdicts: withSightings(observed.verdicts, sightings) };
  } catch (error) {
    const failed: Verdict = { outcome: "unreachable", reason: describeError(error) };
    return { verdicts: { tcp: failed, udp: failed, icmp: failed } };
  } finally {
    server.kill("SIGKILL");
  }
}

/** `twill lab lo-answer FAMILY`: says its ports, answers until its input ends, then says whom it saw. */
export async function loopbackAnswer(family: Family): Promise<void> {
  const responder = new Responder(currentNetns(), loopbackAddress[family]);
  print({ udp: responder.udpPort, tcp: responder.tcpPort });
  const sightings: Sightings = new Map();
  let ended = false;
  void Bun.stdin.text().then(() => {
    ended = true;
  });
  while (!ended) {
    responder.wait(20);
    responder.answer(sightings);
    await Bun.sleep(0); // lets the end of the input be noticed
  }
  print([...sightings]);
}

/** `twill lab lo-call FAMILY UDP TCP`: calls the other process and says what it got. */
export async function loopbackCall(family: Family, udp: number, tcp: number): Promise<void> {
  const counters = openRtnl();
  const place: ProbePlace = {
    name: "lo",
    kind: "pod",
    node: "",
    subnet: "",
    addresses: { [family]: loopbackAddress[family] },
    netns: currentNetns(),
    counters,
  };
  const pair: PlacedPair = { relation: "lo", from: place, to: place, family };
  const other = elsewhere(udp, tcp);
  const [verdicts] = await reach([pair], () => other, new AbortController().signal);
  if (verdicts === undefined) throw new TwillError("internal", "no verdict");
  const sent = () => countersOf(counters.links({ statistics: true }), "sent").get("lo")?.packets ?? 0n;
  const before = sent();
  const measured =
    verdicts.udp.outcome === "connected" ? withSocket(pair, other, (fd) => measureRoundTrips(pair, fd, other)) : {};
  const path = sent() - before >= BigInt(2 * roundTrips) ? { path: "lo" } : {};
  print({ verdicts, ...measured, ...path } satisfies Observed);
}

/** Tokens are counted from 1 in the order of the protocols. */
function withSightings(verdicts: Observed["verdicts"], sightings: readonly [number, Address][]): Observed["verdicts"] {
  const seenBy = new Map(sightings);
  const complete = (protocol: Protocol, token: number): Verdict => {
    const verdict = verdicts[protocol];
    const seen = seenBy.get(token);
    return seen !== undefined && verdict.outcome === "connected" ? { ...verdict, seen } : verdict;
  };
  return { tcp: complete("tcp", 1), udp: complete("udp", 2), icmp: verdicts.icmp };
}

const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};

function parse<T>(line: string | undefined): T {
  if (line === undefined || line === "") throw new TwillError("internal", "a process in the pod ended early");
  return JSON.parse(line) as T;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  return undefined;
}
