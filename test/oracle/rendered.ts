import type { Ruleset } from "../../src/insight/kernel-view.ts";
import type { NftTableContent } from "../../src/objects/nft.ts";
import type { PolicyOptions } from "../../src/render/policy/options.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import type { Check } from "./case.ts";
import { type CompiledCluster, compileCluster, nodeOf, protocolNumber } from "./compiled.ts";
import type { Flow } from "./flow.ts";
import { type Crossing, cross, firstPacket, rulesetOf } from "./nft/interpret.ts";
import type { ClusterObjects } from "./objects.ts";

/** Pods of the rig that a random cluster does not know are part of the outside. */
export const policyOptions: PolicyOptions = {
  established: "keep",
  deny: "drop",
  log: { perSecond: 100, burst: 50 },
  podInterfaces: "twl",
  unknownPodsAllowed: true,
};

export const renderCluster = (compiled: CompiledCluster): ReadonlyMap<string, NftTableContent> =>
  new Map([...compiled].map(([node, state]) => [node, new PolicyRendering(policyOptions).table(state)]));

/** By node. */
export type Rulesets = ReadonlyMap<string, Ruleset>;

export const rulesetsOf = (tables: ReadonlyMap<string, NftTableContent>): Rulesets =>
  new Map([...tables].map(([node, table]) => [node, rulesetOf(table)]));

/** Which node's rules a flow's first packet meets, in order. */
export function crossings(
  cluster: ClusterObjects,
  { from, to }: Flow,
): { readonly node: string; readonly how: Crossing }[] {
  const [source, destination] = [nodeOf(cluster, from), nodeOf(cluster, to)];
  const start = "node" in from ? "node" : "pod" in from ? "pod" : "network";
  const end = "node" in to ? "node" : "pod" in to ? "pod" : "network";
  if (source !== undefined && source === destination) return [{ node: source, how: { from: start, to: end } }];
  return [
    ...(source === undefined ? [] : [{ node: source, how: { from: start, to: "network" } as const }]),
    ...(destination === undefined ? [] : [{ node: destination, how: { from: "network", to: end } as const }]),
  ];
}

/** The rule that drops the flow's first packet, as the interpreter has it; undefined: it arrives. */
export function droppedBy(rulesets: Rulesets, cluster: ClusterObjects, flow: Flow): string | undefined {
  const packet = firstPacket(flow.from.address, flow.to.address, protocolNumber(flow), flow.port);
  for (const { node, how } of crossings(cluster, flow)) {
    const ruleset = rulesets.get(node);
    if (ruleset === undefined) continue;
    const { passes, by } = cross(ruleset, packet, how);
    if (!passes) return `${node}: ${by}`;
  }
  return undefined;
}

/** For shrinking: everything anew. */
export const checkRendered: Check = (cluster, flow, { verdict }) => {
  const by = droppedBy(rulesetsOf(renderCluster(compileCluster(cluster))), cluster, flow);
  return (by === undefined) === (verdict === "allow") ? undefined : (by ?? "passes");
};
