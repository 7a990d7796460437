import type { Address, Family } from "../../src/base/address.ts";
import type { Progress } from "../control.ts";
import { judge } from "./judge.ts";
import { checkLoopback, type RunInPod } from "./loopback.ts";
import { type Measured, measure } from "./measure.ts";
import { everyPair } from "./pairs.ts";
import type { ProbePlace } from "./place.ts";
import { addressIn, type PlacedPair, reach, type Verdicts } from "./reach.ts";
import { Responder } from "./responder.ts";
import { type Endpoint, type PairResult, works } from "./result.ts";

/** So many pairs are tried at once: three sockets each, and a shell may allow 1024 descriptors. */
const batch = 64;
const loopbacksAtOnce = 4;

export interface CheckOptions {
  readonly families: readonly Family[];
  /** How long failing pairs are tried again, milliseconds: routes take a moment to spread. */
  readonly settle: number;
  readonly run: RunInPod;
}

/** Probes every pair of the places. @throws the signal's reason when the caller goes away. */
export async function checkPairs(
  places: readonly ProbePlace[],
  options: CheckOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<PairResult[]> {
  const pairs = everyPair(places, options.families) as PlacedPair[];
  const responders = new ResponderSet();
  const results = new Map<PlacedPair, PairResult>();
  const deadline = performance.now() + options.settle;
  try {
    for (let left = pairs; left.length > 0; ) {
      for (let start = 0; start < left.length; start += batch) {
        if (left === pairs) progress(`checking paths: ${results.size} of ${pairs.length}`);
        const some = left.slice(start, start + batch);
        for (const result of await probe(some, places, responders, options, signal))
          results.set(result.pair, result.result);
      }
      left = failing(results);
      if (performance.now() > deadline) break;
      const [first] = left;
      if (first === undefined) break;
      progress(`${left.length} paths do not work yet, so ${first.from.name} → ${first.to.name} (IPv${first.family})`);
      await Bun.sleep(100);
    }
  } finally {
    responders.close();
  }
  return pairs.flatMap((pair) => {
    const result = results.get(pair);
    return result === undefined ? [] : [{ ...result, from: endpointOf(pair.from), to: endpointOf(pair.to) }];
  });
}

/** Without the descriptors, for those who are not in this process. */
const endpointOf = ({ name, kind, node, subnet, addresses }: ProbePlace): Endpoint => ({
  name,
  kind,
  node,
  subnet,
  addresses,
});

const failing = (results: ReadonlyMap<PlacedPair, PairResult>): PlacedPair[] =>
  [...results].flatMap(([pair, result]) => (works(result) ? [] : [pair]));

async function probe(
  pairs: readonly PlacedPair[],
  places: readonly ProbePlace[],
  responders: ResponderSet,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<{ pair: PlacedPair; result: PairResult }[]> {
  const [inside, between] = [
    pairs.filter((pair) => pair.relation === "lo"),
    pairs.filter((pair) => pair.relation !== "lo"),
  ];
  const results: { pair: PlacedPair; result: PairResult }[] = [];
  // Two processes each: more of them at once would measure each other.
  for (let start = 0; start < inside.length; start += loopbacksAtOnce) {
    const some = inside.slice(start, start + loopbacksAtOnce);
    const observed = await Promise.all(some.map((pair) => checkLoopback(pair, options.run)));
    for (const [index, pair] of some.entries()) {
      const seen = observed[index];
      if (seen !== undefined) results.push({ pair, result: judge(pair, seen, []) });
    }
    signal.throwIfAborted();
  }
  const verdicts = await reach(between, (place, family) => responders.at(place, family), signal);
  for (const [index, pair] of between.entries()) {
    const found = verdicts[index];
    if (found === undefined) continue;
    const measured = measureIfReached(pair, found, responders);
    const { tcpPort: tcp, udpPort: udp } = responders.at(pair.to, pair.family);
    const result = judge(pair, { verdicts: found, ...measured }, nodeAddresses(pair, places));
    results.push({ pair, result: { ...result, ports: { tcp, udp } } });
    if (index % 8 === 7) await Bun.sleep(0); // others of this process want to run too
    signal.throwIfAborted();
  }
  return results;
}

function measureIfReached(pair: PlacedPair, verdicts: Verdicts, responders: ResponderSet): Partial<Measured> {
  if (verdicts.udp.outcome !== "connected") return {};
  return measure(pair, responders.at(pair.to, pair.family));
}

function nodeAddresses(pair: PlacedPair, places: readonly ProbePlace[]): Address[] {
  const node = places.find((place) => place.kind === "node" && place.node === pair.from.node);
  const address = node?.addresses[pair.family];
  return address === undefined ? [] : [address];
}

/** One responder for each place and family, opened when first needed. */
class ResponderSet {
  readonly #open = new Map<string, Responder>();

  at(place: ProbePlace, family: Family): Responder {
    const key = `${place.name} ${family}`;
    const open = this.#open.get(key) ?? new Responder(place.netns, addressIn(place, family));
    this.#open.set(key, open);
    return open;
  }

  close(): void {
    for (const responder of this.#open.values()) responder.close();
  }
}
