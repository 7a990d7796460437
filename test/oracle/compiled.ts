import { familyOf } from "../../src/base/address.ts";
import { compilePolicy } from "../../src/compile/policy/compiler.ts";
import { policyName, protocols } from "../../src/model/policy.ts";
import type { Decision, PolicyState } from "../../src/model/policy-state.ts";
import type { Check } from "./case.ts";
import type { Judgement, Reason, SideJudgement } from "./evaluate.ts";
import { addressesOfPod, type Flow, isNetworkPod, podName } from "./flow.ts";
import type { ClusterObjects } from "./objects.ts";
import { askState, type StatePacket } from "./state-verdict.ts";
import { twillModel } from "./twill-model.ts";

/** What each node of a cluster would tell its kernel. */
export type CompiledCluster = ReadonlyMap<string, PolicyState>;

export function compileCluster(cluster: ClusterObjects): CompiledCluster {
  const { model } = twillModel(cluster);
  return new Map(
    cluster.nodes.map(({ metadata: { name } }) => [
      name,
      compilePolicy(model, { node: name }, attachedTo(cluster, name)),
    ]),
  );
}

/** The pods that a node's CNI plugin has joined to it, and not taken away. */
export const attachedTo = (cluster: ClusterObjects, node: string) =>
  new Map(
    cluster.pods
      .filter((pod) => pod.spec.nodeName === node && isNetworkPod(pod))
      .map((pod) => [podName(pod), addressesOfPod(pod)] as const),
  );

const numbers = { TCP: protocols.tcp, UDP: protocols.udp, SCTP: protocols.sctp, GRE: 47 } as const;

export function protocolNumber({ protocol, from }: Flow): number {
  if (protocol === "ICMP") return familyOf(from.address) === 4 ? protocols.icmp : protocols.icmpv6;
  return numbers[protocol];
}

/** Type and code of an echo request, where there are no ports. */
export const portOf = (flow: Flow): number =>
  flow.protocol === "ICMP" ? (familyOf(flow.from.address) === 4 ? 8 : 128) << 8 : flow.port;

/** The decisions of a flow by the tables of the nodes that it passes. What passes without being asked is left out. */
export function judgeCompiled(compiled: CompiledCluster, cluster: ClusterObjects, flow: Flow): Sides {
  const { from, to } = flow;
  if ("pod" in from && "pod" in to && from.pod === to.pod) return {};
  const packet = { source: from.address, destination: to.address, protocol: protocolNumber(flow), port: portOf(flow) };
  const [source, destination] = [nodeOf(cluster, from), nodeOf(cluster, to)];
  const ask = (node: string | undefined, toNode: boolean): Sides => {
    const state = compiled.get(node ?? "");
    return state === undefined ? {} : askState(state, { ...packet, toNode } satisfies StatePacket);
  };
  const own = ask(source, "node" in to && to.node === source);
  // From the output hook nothing is asked that goes to the node's own pods.
  const theirs = "node" in from && from.node === destination ? {} : ask(destination, false);
  return {
    ...("pod" in from && own.egress !== undefined ? { egress: own.egress } : {}),
    ...("pod" in to && theirs.ingress !== undefined ? { ingress: theirs.ingress } : {}),
  };
}

export interface Sides {
  readonly egress?: Decision;
  readonly ingress?: Decision;
}

export const nodeOf = (cluster: ClusterObjects, party: Flow["from"]): string | undefined =>
  "node" in party
    ? party.node
    : "pod" in party
      ? cluster.pods.find((pod) => podName(pod) === party.pod)?.spec.nodeName
      : undefined;

/** Where the compiled tables disagree with the oracle, in words; in the verdict or in whom they hold responsible. */
export function disagreement(sides: Sides, judgement: Judgement): string | undefined {
  return (
    sideDisagreement("egress", sides.egress, judgement.egress) ??
    sideDisagreement("ingress", sides.ingress, judgement.ingress)
  );
}

function sideDisagreement(
  name: string,
  decision: Decision | undefined,
  side: SideJudgement | undefined,
): string | undefined {
  const verdict = decision?.verdict ?? "allow";
  if (verdict !== (side?.verdict ?? "allow")) return `${name} ${verdict} by ${reasonText(decision)}`;
  if (decision === undefined || side === undefined) return undefined;
  return side.by.some((reason) => isSameReason(reason, decision))
    ? undefined
    : `${name} ${verdict}, but by ${reasonText(decision)}`;
}

const reasonText = (decision: Decision | undefined): string =>
  decision === undefined ? "nothing" : JSON.stringify(decision.reason);

function isSameReason(reason: Reason, { reason: found }: Decision): boolean {
  switch (found.by) {
    case "rule":
      return reason.by === "rule" && reason.policy === policyName(found.policy) && reason.rule === found.rule;
    case "tier": {
      const by = found.isolatedBy.map(policyName).sort();
      return reason.by === "isolated" && JSON.stringify([...reason.policies].sort()) === JSON.stringify(by);
    }
    case "own-node":
    case "no-policy":
      return reason.by === found.by;
    default:
      return false;
  }
}

/** For shrinking: everything anew. */
export const checkCompiled: Check = (cluster, flow, judgement) =>
  disagreement(judgeCompiled(compileCluster(cluster), cluster, flow), judgement);
