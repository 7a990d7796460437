import { Evaluator } from "../../compile/policy/evaluate.ts";
import type { Flow } from "../../model/flow.ts";
import type { PolicyModel } from "../../model/policy.ts";
import { FlowEnds, packetOf } from "./flow-ends.ts";
import { describePoint } from "./traffic.ts";

/** What a change would have done to connections that were seen and allowed. */
export interface CutFlows {
  /** Connections looked at. */
  readonly seen: number;
  readonly cut: number;
  /** How many differ in source, destination or traffic. */
  readonly kinds: number;
  /** The most frequent ones. */
  readonly examples: readonly CutFlow[];
}

export interface CutFlow {
  readonly source: string;
  readonly destination: string;
  readonly traffic: string;
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly last: number;
}

/**
 * Flows of the history that the model before allows and the model after denies. A flow between pods that have gone meanwhile, or
 * whose ports were too many to be told apart, says nothing and is not counted.
 */
export function cutFlows(before: PolicyModel, after: PolicyModel, flows: Iterable<Flow>, most = 10): CutFlows {
  const [old, now] = [new Evaluator(before), new Evaluator(after)];
  const ends = new FlowEnds(before);
  const found = new Map<string, CutFlow>();
  const verdicts = new Map<string, boolean>();
  let [seen, cut] = [0, 0];
  for (const flow of flows) {
    const packet = packetOf(flow);
    if (
      flow.verdict !== "allow" ||
      packet === undefined ||
      !ends.isThere(flow.source) ||
      !ends.isThere(flow.destination)
    )
      continue;
    const count = Math.max(1, flow.count);
    seen += count;
    const key = `${packet.source} ${packet.destination} ${packet.protocol} ${packet.port}`;
    const known = verdicts.get(key);
    const isCut = known ?? (old.evaluate(packet).verdict === "allow" && now.evaluate(packet).verdict === "deny");
    verdicts.set(key, isCut);
    if (!isCut) continue;
    cut += count;
    const { count: others = 0, last = 0 } = found.get(key) ?? {};
    found.set(key, {
      source: ends.name(flow.source),
      destination: ends.name(flow.destination),
      traffic: describePoint(packet.protocol, packet.port),
      count: others + count,
      last: Math.max(last, flow.until),
    });
  }
  const examples = [...found.values()].sort((a, b) => b.count - a.count).slice(0, most);
  return { seen, cut, kinds: found.size, examples };
}
