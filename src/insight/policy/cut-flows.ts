import { Evaluator } from "../../compile/policy/evaluate.ts";
import type { Flow as PacketFlow } from "../../compile/policy/flow.ts";
import type { Flow, FlowEnd } from "../../model/flow.ts";
import { type PolicyModel, protocols } from "../../model/policy.ts";
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
  const found = new Map<string, CutFlow>();
  const verdicts = new Map<string, boolean>();
  let [seen, cut] = [0, 0];
  for (const flow of flows) {
    const packet = packetOf(flow);
    if (
      flow.verdict !== "allow" ||
      packet === undefined ||
      !isThere(flow.source, before) ||
      !isThere(flow.destination, before)
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
      source: endName(flow.source),
      destination: endName(flow.destination),
      traffic: describePoint(packet.protocol, packet.port),
      count: others + count,
      last: Math.max(last, flow.until),
    });
  }
  const examples = [...found.values()].sort((a, b) => b.count - a.count).slice(0, most);
  return { seen, cut, kinds: found.size, examples };
}

/** Undefined: its ends or ports were too many to be told apart. */
export function packetOf({ source, destination, protocol, port, ports, icmp }: Flow): PacketFlow | undefined {
  if (source.kind === "many" || destination.kind === "many" || ports !== undefined) return undefined;
  const isIcmp = protocol === protocols.icmp || protocol === protocols.icmpv6;
  return {
    source: source.address,
    destination: destination.address,
    protocol,
    port: isIcmp && icmp !== undefined ? icmp.type * 256 + icmp.code : (port ?? 0),
  };
}

/** A pod of that name still has the address. */
export function isThere(end: FlowEnd, model: PolicyModel): boolean {
  if (end.kind !== "pod") return end.kind !== "many";
  return model.endpoints.get(`${end.namespace}/${end.name}`)?.addresses.includes(end.address) === true;
}

/** "shop/web-0", "node1", "1.2.3.4". */
export function endName(end: FlowEnd): string {
  if (end.kind === "many") return "many";
  if (end.kind === "pod") return `${end.namespace}/${end.name}`;
  return end.kind === "node" ? end.name : end.address;
}
