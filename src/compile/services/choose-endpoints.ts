import type { ServicesNode, SliceEndpoint } from "../../model/services.ts";
import type { EndpointReason } from "../../model/services-state.ts";

/** An endpoint with the port that is meant, from whichever slice. */
export interface Candidate extends SliceEndpoint {
  readonly port: number;
}

/** Of one port of a Service: who may answer on a node. */
export interface Choice {
  /** For traffic that any endpoint of the cluster may answer. */
  readonly cluster: readonly Candidate[];
  /** For traffic that stays on this node. */
  readonly local: readonly Candidate[];
  /** Why each is in `cluster` or not; of the whole list, in its order. */
  readonly reasons: readonly EndpointReason[];
}

/**
 * As Kubernetes has it: ready endpoints; where there are none, those that terminate and still serve. Hints of the slices narrow the ready ones
 * to those for this node, or else for its zone, if each of them has a hint and one of them is for us (k8s.io/kubernetes
 * pkg/proxy/topology.go, documented in "Topology Aware Routing: safeguards").
 */
export function chooseEndpoints(candidates: readonly Candidate[], node: ServicesNode): Choice {
  const ready = candidates.filter((each) => each.ready);
  const near = nearOnes(ready, node);
  const fallback = (all: readonly Candidate[]) => all.filter(({ serving, terminating }) => serving && terminating);
  const here = candidates.filter((each) => each.node === node.name);
  const readyHere = here.filter((each) => each.ready);
  const cluster = ready.length > 0 ? near.endpoints : fallback(candidates);
  const chosen = new Set(cluster);
  return {
    cluster,
    local: readyHere.length > 0 ? readyHere : fallback(here),
    reasons: candidates.map((each) => reasonOf(each, chosen.has(each), near.by)),
  };
}

interface Near {
  readonly endpoints: readonly Candidate[];
  readonly by?: "node" | "zone";
}

function nearOnes(ready: readonly Candidate[], { name, zone }: ServicesNode): Near {
  const all = { endpoints: ready };
  return (
    narrowed(ready, "node", ({ forNodes }) => forNodes, name) ??
    (zone === undefined ? all : (narrowed(ready, "zone", ({ forZones }) => forZones, zone) ?? all))
  );
}

/** Undefined: the hints are not complete, or none is for us; then all are as good. */
function narrowed(
  ready: readonly Candidate[],
  by: "node" | "zone",
  hints: (candidate: Candidate) => readonly string[] | undefined,
  own: string,
): Near | undefined {
  if (!ready.every((each) => (hints(each)?.length ?? 0) > 0)) return undefined;
  const endpoints = ready.filter((each) => hints(each)?.includes(own));
  return endpoints.length === 0 ? undefined : { endpoints, by };
}

function reasonOf(candidate: Candidate, chosen: boolean, near: Near["by"]): EndpointReason {
  if (chosen) return candidate.ready ? "ready" : "serving while terminating";
  if (candidate.ready) return near === "node" ? "for another node" : "for another zone";
  return candidate.terminating ? "terminating" : "not ready";
}
